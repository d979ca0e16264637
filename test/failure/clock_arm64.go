package failure

import "golang.org/x/sys/unix"

// stackPointer is that of a stopped process.
func stackPointer(pid int) (int64, error) {
	var registers unix.PtraceRegsArm64
	if err := unix.PtraceGetRegSetArm64(pid, 1, &registers); err != nil { // NT_PRSTATUS
		return 0, err
	}
	return int64(registers.Sp), nil
}
