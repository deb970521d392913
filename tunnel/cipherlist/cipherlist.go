// Package cipherlist reads cipher_list, the setting that says which cipher
// suites may be used, and in which order: a cipher list of OpenSSL, as ciphers(1)
// describes it.
//
// A list is evaluated as OpenSSL does it, over all the suites that OpenSSL has
// known since version 1.0.2, which the original was built with. Only then the
// suites that tunnel/record does not speak are left out, so that those that it
// does come out as they would there. What the list asked for in vain is told.
//
// Where versions of OpenSSL differ, the order is that of 1.1 and later, and
// COMPLEMENTOFDEFAULT+X stands for what both have in common, as ciphers(1) says.
package cipherlist

import (
	"fmt"
	"strings"

	"campagnol/tunnel/record"
)

// maxList is the length of the longest list, in bytes. The names of all suites
// that there are take less than half of it.
const maxList = 16 << 10

// defaultList is what DEFAULT stands for in OpenSSL.
const defaultList = "ALL:!COMPLEMENTOFDEFAULT:!eNULL"

// works is a list that leaves something with every kind of certificate.
const works = "ECDHE+AESGCM"

// Parse returns the cipher suites that a list leaves, in its order, and what in
// the list has no effect, each as a sentence for people. It returns an error if
// that is all of it, if the list violates the syntax, and if it is empty: that
// no list is set is for the caller to see.
//
// The names of suites may be OpenSSL's or those of the registry (TLS_..._WITH_...).
// @SECLEVEL and the SUITEB names choose suites here and nothing else.
func Parse(list string) (suites []record.Suite, warnings []string, err error) {
	if len(list) > maxList {
		return nil, nil, &listError{list: list, text: fmt.Sprintf("is longer than %d bytes", maxList)}
	}
	e := evaluation{order: natural()}
	if err := e.run(list); err != nil {
		return nil, nil, &listError{list: list, text: "is not a cipher list: " + err.Error(), syntax: true}
	}
	suites = e.order.ours(e.level.bits())
	if len(suites) == 0 {
		return nil, nil, &listError{list: list, text: "leaves no cipher suite: " + e.whyNothing() + "; " + works + " would work"}
	}
	return suites, e.warnings(), nil
}

// A listError says why a list cannot be used.
type listError struct {
	list   string
	text   string
	syntax bool
}

func (e *listError) Error() string { return "cipher_list " + quote(e.list) + " " + e.text }

// Hint says what to do about the error.
func (e *listError) Hint() string {
	if e.syntax {
		return `write names with ":" between them, such as ECDHE+AESGCM:!ECDSA; or take cipher_list out`
	}
	return "without cipher_list, all the suites that are safe may be used"
}

// An evaluation is a list on its way through the suites.
type evaluation struct {
	order    order
	level    level
	suiteB   string // the name that the list begins with; "": none
	problems problems
	added    bool // a suite of ours was, at some time
}

// run evaluates a whole list.
func (e *evaluation) run(list string) error {
	if name, suites := suiteB(list); name != "" {
		e.suiteB = name
		if ignored := list[len(name):]; strings.Trim(ignored, ":,; ") != "" {
			e.problems.add(unread, ignored, "nothing counts after "+name)
		}
		return e.rules(suites)
	}
	if rest, ok := strings.CutPrefix(list, "DEFAULT"); ok {
		if err := e.rules(defaultList); err != nil {
			return err
		}
		list = rest // which OpenSSL reads even if it does not begin with a separator
	}
	return e.rules(list)
}

// suiteB returns the name of Suite B that a list begins with, and the list that
// OpenSSL uses instead. It asks for no separator after the name.
func suiteB(list string) (name, suites string) {
	const aes128, aes256 = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"
	for _, b := range [...][2]string{
		{"SUITEB128ONLY", aes128},
		{"SUITEB128C2", aes256},
		{"SUITEB128", aes128 + ":" + aes256},
		{"SUITEB192", aes256},
	} {
		if strings.HasPrefix(list, b[0]) {
			return b[0], b[1]
		}
	}
	return "", ""
}

// rules evaluates the elements of a list.
func (e *evaluation) rules(list string) error {
	for list != "" {
		if isSeparator(list[0]) {
			list = list[1:]
			continue
		}
		el, rest, err := next(list)
		if err != nil {
			return err
		}
		if err := e.apply(&el); err != nil {
			return err
		}
		list = rest
	}
	return nil
}

// apply does what an element says.
func (e *evaluation) apply(el *element) error {
	switch {
	case el.op == opCommand:
		return e.command(el)
	case el.unknown != "":
		k, why := unknownName(el.unknown)
		e.problems.add(k, el.text, why)
	case el.nothing && el.op == opAdd:
		e.problems.add(unfit, el.text, "")
	case el.nothing: // what is not there needs not be taken out
	case el.op == opAdd:
		e.judge(el)
		e.order.add(el.want)
	case el.op == opRemove:
		e.order.remove(el.want)
	case el.op == opToEnd:
		e.order.toEnd(el.want)
	case el.op == opKill:
		e.order.kill(el.want)
	}
	return nil
}

// judge notes whether an element that adds suites asks for one of ours, and if
// not, why.
func (e *evaluation) judge(el *element) {
	switch c := cover(el.want); {
	case c.ours:
		e.added = true
	case c.any:
		e.problems.add(refused, el.text, c.why())
	default:
		e.problems.add(unfit, el.text, "")
	}
}

// command obeys @STRENGTH and @SECLEVEL.
func (e *evaluation) command(el *element) error {
	if digit, ok := strings.CutPrefix(el.command, "SECLEVEL="); ok && len(digit) == 1 && '0' <= digit[0] && digit[0] <= '5' {
		e.level = level(digit[0] - '0')
	} else if el.command == "STRENGTH" {
		e.order.sortByStrength()
	} else {
		return fmt.Errorf("%s is not a command; there are @STRENGTH, and @SECLEVEL=0 to 5", quote("@"+el.command))
	}
	if el.skipped != "" {
		e.problems.add(unread, el.skipped, "a \":\" is missing before it")
	}
	return nil
}

// A level is a security level of OpenSSL (SSL_CTX_set_security_level(3)).
type level int

// bits returns how long keys of ciphers have to be, at least. Everything else
// that levels 1 to 5 ask of suites, such as forward secrecy, all of ours have.
func (l level) bits() int { return [...]int{0, 80, 112, 128, 192, 256}[l] }

// warnings returns what has no effect, or not all that it has elsewhere.
func (e *evaluation) warnings() []string {
	var ws []string
	for _, p := range e.problems.texts() {
		ws = append(ws, "cipher_list: "+p)
	}
	if e.level >= 2 { // what level 1 asks of certificates, Go asks anyway
		ws = append(ws, fmt.Sprintf("cipher_list: @SECLEVEL=%d is obeyed for cipher suites, not for certificates", e.level))
	}
	if e.suiteB != "" {
		ws = append(ws, fmt.Sprintf("cipher_list: %s is obeyed for cipher suites, not for curves and signatures", e.suiteB))
	}
	return ws
}

// whyNothing returns why there is nothing left.
func (e *evaluation) whyNothing() string {
	texts := e.problems.texts()
	switch {
	case len(e.order.ours(0)) > 0:
		texts = append(texts, fmt.Sprintf("@SECLEVEL=%d asks for keys of %d bits", e.level, e.level.bits()))
	case e.added:
		texts = append(texts, "what it adds, it takes out again")
	case len(texts) == 0:
		texts = append(texts, "it adds none")
	}
	return enumerate(texts, "and")
}
