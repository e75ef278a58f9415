//go:build unix

package file

import "golang.org/x/sys/unix"

// freeBytes is how much this user can still write to the disk that dir is on.
func freeBytes(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return uint64(s.Bavail) * uint64(s.Bsize), nil
}
