// Package program has programs that take part in experiments with multicast,
// each as a process of its own in a network namespace: a sender, a receiver,
// and a multicast router with a querier.
//
// They are inside the binary that runs the experiment. It calls [Main] first,
// which does nothing unless the binary was started as one of them:
//
//	func TestMain(m *testing.M) {
//		program.Main()
//		os.Exit(m.Run())
//	}
//
// A program is told what to do, and tells what happened, over a socket in the
// file system, which reaches through namespaces: a line of JSON there, a line
// back. All times are of package clock, so that those of a sender, of a
// receiver and of a watch on the cable between them can be compared.
package program
