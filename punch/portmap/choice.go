package portmap

import "slices"

// grace is how long a protocol that has answered waits for the preferred ones: an
// answer of the gateway takes a few milliseconds, and one by UPnP is asked to take up
// to a second.
const grace = firstWait + firstWait/5 // for one repetition

// A choice is which protocol to try next, while answers to the first question arrive
// in any order. It does no I/O.
type choice struct {
	order   []Method            // the preferred one first
	answers map[Method]struct{} // that speak
	fails   map[Method]error    // that do not, or were refused
}

func newChoice(order []Method) *choice {
	return &choice{order: slices.Clone(order), answers: map[Method]struct{}{}, fails: map[Method]error{}}
}

// heard takes whether the gateway speaks a protocol.
func (c *choice) heard(m Method, err error) {
	if err != nil {
		c.failed(m, err)
		return
	}
	c.answers[m] = struct{}{}
}

// failed takes that a protocol is out of the question.
func (c *choice) failed(m Method, err error) {
	delete(c.answers, m)
	c.fails[m] = err
}

// next returns what to try now, 0 for none. Before the grace is over, what is preferred
// may still come.
func (c *choice) next(graceOver bool) Method {
	for _, m := range c.order {
		if _, ok := c.answers[m]; ok {
			return m
		}
		if _, failed := c.fails[m]; !failed && !graceOver {
			return 0
		}
	}
	return 0
}

// over reports whether nothing is left to try or to wait for.
func (c *choice) over() bool { return len(c.fails) == len(c.order) }

// err returns why nothing has worked: what the gateway has said, if it has said
// anything, of the preferred protocol.
func (c *choice) err() error {
	var silent error = errSilent
	for _, m := range c.order {
		switch err := c.fails[m]; {
		case err == nil, isSilent(err):
		default:
			return err
		}
	}
	return silent
}
