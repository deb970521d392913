//go:build !amd64 || purego

package segment

func addWords(b []byte, acc uint64) uint64 { return addWordsGeneric(b, acc) }
