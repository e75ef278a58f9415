#!/usr/bin/env bash
# Pictures of a run's report at 1400 and 360 px, light and dark: docs/screens.md.
#   docs/tools/screens.sh runs/NAME/report.html OUT
# The narrowest window of headless Chromium is 500 px, so the page is shown in frames of the
# wanted width, parts of it beside each other.
set -euo pipefail
page=$(readlink -f "$1") out=$2 exe=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
mkdir -p "$out"
out=$(readlink -f "$out")
sandbox=()
[ "$(id -u)" != 0 ] || sandbox=(--no-sandbox)
for size in "1400 1700 2 3" "360 1450 4 2"; do # width, height of a part, parts beside each other, pictures
  read -r width height parts pictures <<<"$size"
  for ((first = 0; first < parts * pictures; first += parts)); do
    frames=
    for ((i = first; i < first + parts; i++)); do
      frames+="<div style='width:${width}px;height:${height}px;overflow:hidden;flex:none'><iframe src='file://$page' \
style='border:0;width:${width}px;height:12000px;margin-top:-$((i * height))px'></iframe></div>"
    done
    echo "<body style='margin:0;display:flex;gap:6px;background:#888'>$frames" >"$out/frames.html"
    for scheme in dark light; do
      [ $scheme = dark ] && n=0 || n=1
      picture=$out/$width-$scheme-$((first / parts + 1)).png
      "$exe" --headless "${sandbox[@]}" --disable-gpu --hide-scrollbars --proxy-server=127.0.0.1:9 --allow-file-access-from-files \
        --blink-settings=preferredColorScheme=$n --virtual-time-budget=4000 --window-size=$(((width + 6) * parts)),"$height" \
        --screenshot="$picture" "file://$out/frames.html" 2>/dev/null
      echo "$picture"
    done
  done
done
rm "$out/frames.html"
