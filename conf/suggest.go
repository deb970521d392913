package conf

import (
	"fmt"
	"strings"

	"campagnol/internal/spell"
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
		if d := spell.Distance(normal(name), normal(k)); d < least {
			near, least = k, d
		}
	}
	return near
}

// normal evens out what people mix up without looking.
func normal(name string) string {
	return strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(name))
}
