// Package spell compares what somebody has written with what he may have meant.
package spell

import "strings"

// Distance returns how many bytes must be inserted, deleted, replaced or
// exchanged with their neighbour to turn a into b.
func Distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			differ := 1
			if a[i] == b[j] {
				differ = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+differ)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// maxWord bounds what is compared, which takes the product of the lengths.
const maxWord = 64

// Nearest returns the one of known that word is most likely a misspelling of, without
// regard to case; "" if it is too different from all.
func Nearest(word string, known []string) string {
	if len(word) > maxWord {
		return ""
	}
	near, least := "", max(len(word)/3, 1)+1
	for _, k := range known {
		if len(k) > maxWord {
			continue
		}
		if d := Distance(strings.ToLower(word), strings.ToLower(k)); d < least {
			near, least = k, d
		}
	}
	return near
}
