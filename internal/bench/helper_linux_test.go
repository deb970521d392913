package main

import (
	"testing"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
)

// needLab skips a test that needs a laboratory where there can be none, and fails
// it in continuous integration.
func needLab(t testing.TB) {
	t.Helper()
	testenv.Root(t)
	if err := lab.Preflight(); err != nil {
		testenv.Require(t, false, "what a lab needs: "+err.Error())
	}
}

// newTestPlace makes two hosts with a cable, for a test.
func newTestPlace(t testing.TB, id string) place {
	t.Helper()
	needLab(t)
	l, err := lab.New(t.Context(), lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	p, ok := pathOf(id)
	if !ok {
		t.Fatalf("there is no path %s", id)
	}
	at, err := newPlace(l, p)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
