package conf

import (
	"fmt"
	"strings"
)

// maxName is the length up to which a name is compared with the known ones.
const maxName = 40

// sectionHint says where a key belongs that stands in no section.
func sectionHint(key string) string {
	for i := range registry {
		if registry[i].Name == key {
			return fmt.Sprintf("write a line with [%s] above it", registry[i].Section)
		}
	}
	return "write a line with the name of its section above it, such as [" + sectionNetwork + "]"
}

// suggestSection says which section is meant by an unknown name.
func suggestSection(name string) string {
	if near := nearest(name, sections[:]); near != "" {
		return fmt.Sprintf("did you mean [%s]?", near)
	}
	list := make([]string, len(sections))
	for i, s := range sections {
		list[i] = "[" + s + "]"
	}
	return "the sections are " + strings.Join(list, ", ")
}

// suggestKey says which key is meant by a name that section does not know.
func suggestKey(section, name string) string {
	for i := range registry {
		if registry[i].Name == name {
			return fmt.Sprintf("%s belongs to the section [%s]", name, registry[i].Section)
		}
	}
	var here, elsewhere []string
	for i := range registry {
		if k := &registry[i]; k.Section == section {
			here = append(here, k.Name)
		} else {
			elsewhere = append(elsewhere, k.Name)
		}
	}
	if near := nearest(name, here); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	if near := nearest(name, elsewhere); near != "" {
		for i := range registry {
			if registry[i].Name == near {
				return fmt.Sprintf("did you mean %s? It belongs to the section [%s]", near, registry[i].Section)
			}
		}
	}
	return fmt.Sprintf("the keys of [%s] are %s", section, strings.Join(here, ", "))
}

// nearest returns the one of known that name is most likely a misspelling of,
// "" if it is too different from all.
func nearest(name string, known []string) string {
	if len(name) > maxName {
		return ""
	}
	near, least := "", max(len(name)/3, 1)+1
	for _, k := range known {
		if d := distance(normal(name), normal(k)); d < least {
			near, least = k, d
		}
	}
	return near
}

// normal evens out what people mix up without looking.
func normal(name string) string {
	return strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(name))
}

// distance returns how many bytes must be inserted, deleted, replaced or
// exchanged with their neighbour to turn a into b.
func distance(a, b string) int {
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
