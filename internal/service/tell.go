package service

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"campagnol/internal/daemon"
)

// tellInterval is how often it is looked whether the service manager has to be told
// something else. People look at it now and then; it need not be of this second.
const tellInterval = 2 * time.Second

// tell keeps the service manager, if there is one, informed about how the program is,
// until stop is called.
func (r *Running) tell(ctx context.Context, log *slog.Logger) (stop func()) {
	if r.Status == nil || !daemon.Managed() {
		return func() {}
	}
	last := ""
	return every(ctx, tellInterval, func(ctx context.Context) {
		asked, cancel := context.WithTimeout(ctx, tellInterval)
		defer cancel()
		if text := r.Status(asked); text != last && ctx.Err() == nil {
			notify(log, daemon.Status(text))
			last = text
		}
	})
}

// every does something at once and in each interval from then on, in a goroutine of its
// own, until stop is called, which waits for its end.
func every(ctx context.Context, interval time.Duration, do func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var doer sync.WaitGroup
	doer.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			do(ctx)
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		doer.Wait()
	}
}
