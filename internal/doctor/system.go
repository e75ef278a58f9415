package doctor

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// System names the operating system and its version, as far as it says.
func System() string {
	switch runtime.GOOS {
	case "linux":
		return strings.Join(nonEmpty(osRelease("/etc/os-release"), firstLine(os.ReadFile("/proc/sys/kernel/osrelease"))), ", kernel ")
	case "darwin":
		return strings.Join(nonEmpty("macOS", output("sw_vers", "-productVersion")), " ")
	case "windows":
		if v := output("cmd", "/c", "ver"); v != "" {
			return v
		}
	}
	return runtime.GOOS
}

// osRelease is PRETTY_NAME of an os-release file.
func osRelease(path string) string {
	b, _ := os.ReadFile(path) // none: the kernel alone is named
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(v, `"'`)
		}
	}
	return ""
}

// Drivers names the machine's graphics drivers with their versions, which WebGPU does
// not tell: from NVIDIA's module, from vulkaninfo where it is installed, and from
// Windows. On macOS they are part of the system.
func Drivers() []string {
	switch runtime.GOOS {
	case "linux":
		nvidia := firstLine(os.ReadFile("/proc/driver/nvidia/version"))
		return append(nonEmpty(nvidia), vulkanDrivers(run("vulkaninfo", "--summary"))...)
	case "windows":
		const query = "Get-CimInstance Win32_VideoController | ForEach-Object { $_.Name + ', driver ' + $_.DriverVersion }"
		var out []string
		for line := range strings.Lines(run("powershell", "-NoProfile", "-Command", query)) {
			out = append(out, nonEmpty(strings.TrimSpace(line))...)
		}
		return out
	}
	return nil
}

// vulkanDrivers reads the output of vulkaninfo --summary: per device, its name, the
// driver and the driver's version.
func vulkanDrivers(summary string) []string {
	var out []string
	value := map[string]string{}
	for line := range strings.Lines(summary) {
		key, v, ok := strings.Cut(line, "=")
		if key = strings.TrimSpace(key); !ok {
			continue
		}
		if value[key] = strings.TrimSpace(v); key == "driverInfo" { // the last of a device
			out = append(out, strings.Join(nonEmpty(value["deviceName"], value["driverName"], value["driverInfo"]), ", "))
			clear(value)
		}
	}
	return out
}

// output is the first line that a command prints, or nothing.
func output(name string, args ...string) string { return firstLine([]byte(run(name, args...)), nil) }

// run is the output of a command, or nothing.
func run(name string, args ...string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	b, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return ""
	}
	return string(b)
}

// firstLine is the first line of b that is not empty.
func firstLine(b []byte, err error) string {
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return strings.TrimSpace(line)
}

func nonEmpty(all ...string) (out []string) {
	for _, s := range all {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}
