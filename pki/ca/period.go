package ca

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// ParsePeriod reads a time span such as 90m, 1h or 7d.
func ParsePeriod(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil && n > 0 {
			return time.Duration(n) * secondsPerDay, nil
		}
	}
	v, err := time.ParseDuration(text)
	if err != nil || v <= 0 {
		return 0, errors.New("write a time such as 30m, 1h or 7d")
	}
	return v, nil
}
