package failure

import "golang.org/x/sys/unix"

// stackPointer is that of a stopped process.
func stackPointer(pid int) (int64, error) {
	var registers unix.PtraceRegs
	if err := unix.PtraceGetRegs(pid, &registers); err != nil {
		return 0, err
	}
	return int64(registers.Rsp), nil
}
