//go:build cgo && !js

// Physical memory of the machine, by whatever the platform offers, and silence.

#include "native_internal.h"

#if defined(_WIN32)
#include <windows.h>
uint64_t cc_physical_memory(void) {
	MEMORYSTATUSEX s;
	s.dwLength = sizeof s;
	return GlobalMemoryStatusEx(&s) ? s.ullTotalPhys : 0;
}
#elif defined(__APPLE__)
#include <sys/types.h>
#include <sys/sysctl.h>
uint64_t cc_physical_memory(void) {
	uint64_t n = 0;
	size_t size = sizeof n;
	return sysctlbyname("hw.memsize", &n, &size, NULL, 0) == 0 ? n : 0;
}
#else
#include <unistd.h>
uint64_t cc_physical_memory(void) {
#if defined(_SC_PHYS_PAGES) && defined(_SC_PAGESIZE)
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
	return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
#else
	return 0;
#endif
}
#endif

// cc_silence stops the library's log on stderr: errors come by callback.
void cc_silence(void) { wgpuSetLogLevel(WGPULogLevel_Off); }
