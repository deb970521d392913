package manual

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"campagnol/internal/cli"
)

// helpWidth is how long the lines of a help may be.
const helpWidth = 90

// types are what pflag calls values that nobody has named.
var types = []string{"bytesHex", "duration", "float64", "int", "int64", "string", "stringArray", "strings", "uint", "uint16", "value"}

// Faults returns what the helps of a program and its commands lack, so that they, and
// the pages that are made of them, are of use: each command has a line about it, a
// text that explains its arguments, and an example, and the value of each option has a
// name that says what it is.
func Faults(program cli.Description) []string {
	var faults []string
	walk(program, program.Name, func(name string, d cli.Description) {
		for _, f := range textFaults(d, name == program.Name) {
			faults = append(faults, name+": "+f)
		}
		for _, f := range exampleFaults(name, d) {
			faults = append(faults, name+": "+f)
		}
		for _, f := range d.Flags {
			for _, fault := range flagFaults(f) {
				faults = append(faults, name+" --"+f.Name+": "+fault)
			}
		}
	})
	return faults
}

// walk calls visit for a command and all below it, with their full names.
func walk(d cli.Description, name string, visit func(name string, d cli.Description)) {
	visit(name, d)
	for _, sub := range d.Commands {
		walk(sub, name+" "+sub.Name, visit)
	}
}

// textFaults looks at a command's texts.
func textFaults(d cli.Description, isProgram bool) (faults []string) {
	if r, _ := utf8.DecodeRuneInString(d.Short); !isProgram && (!unicode.IsUpper(r) || strings.HasSuffix(d.Short, ".")) {
		faults = append(faults, fmt.Sprintf("the line about it is %q, and not one that begins with a capital and has no full stop", d.Short))
	}
	if !strings.HasSuffix(d.Long, ".") {
		faults = append(faults, "its help does not end with a sentence")
	}
	for line := range strings.SplitSeq(d.Long, "\n") {
		if utf8.RuneCountInString(line) > helpWidth {
			faults = append(faults, fmt.Sprintf("the line is too long: %q", line))
		}
	}
	for _, p := range placeholdersOf(d.Use) {
		if !strings.HasPrefix(p.Value, "-") && unicode.IsUpper(rune(p.Value[0])) && !isProgram && !strings.Contains(d.Long, p.Value) {
			faults = append(faults, "its help does not say what "+p.Value+" is")
		}
	}
	return faults
}

// exampleFaults looks at a command's example.
func exampleFaults(name string, d cli.Description) (faults []string) {
	if d.Example == "" {
		return []string{"there is no example"}
	}
	for line := range strings.SplitSeq(d.Example, "\n") {
		if !strings.HasPrefix(line, "  ") || !strings.Contains(line, name) {
			faults = append(faults, fmt.Sprintf("the example %q is not indented, or not one of this command", line))
		}
	}
	return faults
}

// flagFaults looks at an option.
func flagFaults(f cli.Flag) (faults []string) {
	if f.Usage == "" || strings.HasSuffix(f.Usage, ".") {
		faults = append(faults, fmt.Sprintf("its help is %q, and not a phrase", f.Usage))
	}
	if slices.Contains(types, f.Value) {
		faults = append(faults, fmt.Sprintf("nobody has said what its value is, which shows as %q", f.Value))
	}
	return faults
}
