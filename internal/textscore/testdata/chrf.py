"""Vectors for chrf_test.go: sacrebleu's chrF2, of single answers and of all together.

pip install sacrebleu==2.6.0; python chrf.py > chrf.json
"""
import json, random
from sacrebleu.metrics import CHRF

texts = ["peynir dilimi", "yukarı doğru çubuktan ok", "chupa kubwa", "kitabu cha samawati", "Kitabu cha bluu", "cebolla", "triángulo inferior derecho", "la cebolla roja",
         "银牌", "停车 按钮", "P ボタン", "a", "", "  two  words ", "ab", "abcdef", "abcdefg", "smiling face with\nsunglasses", "👩‍🔬 scientist", "नमस्ते दुनिया", "ok", "OK", "aaaaaaa", "aaaa"]
r = random.Random(7)
pairs = [(t, t) for t in texts] + [(r.choice(texts), r.choice(texts)) for _ in range(120)]
chrf = CHRF()
singles = [{"answer": a, "wanted": w, "chrf": chrf.sentence_score(a, [w]).score} for a, w in pairs]
sets = []
for n in (1, 2, 7, 40, 144):
    chosen = r.sample(range(len(pairs)), n)
    score = chrf.corpus_score([pairs[i][0] for i in chosen], [[pairs[i][1] for i in chosen]]).score
    sets.append({"pairs": chosen, "chrf": score})
json.dump({"sacrebleu": "2.6.0", "signature": "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no", "singles": singles, "sets": sets}, __import__("sys").stdout, ensure_ascii=False, indent=0)
