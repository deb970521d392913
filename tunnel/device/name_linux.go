package device

import (
	"fmt"
	"strings"
)

// maxName is the length of the longest name of an interface (IFNAMSIZ - 1).
const maxName = 15

// interfaceName returns the name to ask Linux for: the one given, cut as the
// original does, or fallback. It returns an error for what the kernel would
// refuse without a reason.
func interfaceName(name, fallback string) (string, error) {
	if name == "" {
		return fallback, nil
	}
	if strings.ContainsAny(name, "/: \t\n\v\f\r\x00") || name == "." || name == ".." {
		return "", fmt.Errorf("device: %q cannot be the name of an interface: blanks, / and : are not allowed in it", name)
	}
	if len(name) > maxName {
		name = name[:maxName]
	}
	// The kernel fills in the number, once.
	if i := strings.IndexByte(name, '%'); i >= 0 && (!strings.HasPrefix(name[i:], "%d") || strings.Contains(name[i+1:], "%")) {
		return "", fmt.Errorf("device: %q cannot be the name of an interface: %% is allowed only in one %%d, which stands for a number", name)
	}
	return name, nil
}
