package policy

import (
	"fmt"

	"campagnol/pki/safefile"
)

// MaxSize is the size of the largest policy that is read from a file, in bytes.
const MaxSize = 8 << 20

// Load reads the policy in a file.
func Load(path string) (*Policy, error) {
	text, err := safefile.Read(path, MaxSize)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	return Parse(path, string(text))
}
