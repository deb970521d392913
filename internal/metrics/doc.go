// Package metrics is what both programs have in common to be watched by Prometheus
// and by supervisors: how metrics are named, how they are gathered, and a small HTTP
// server.
//
//	GET /metrics ─▶ Exporter ─▶ cache ─▶ registry ─┬▶ the program's Collector
//	                                               ├▶ build, process and Go runtime
//	GET /healthz ─▶ 200: the process answers
//	GET /readyz  ─▶ 200, or 503 and the reason, says Config.Ready
//
// The program's metrics are a [Table] of families, and its collector reads what the
// program counts anyway, once per scrape: nothing is counted twice, and no packet
// costs more because somebody watches. docs/metrics.md explains every metric.
//
// # Who may ask
//
// There is no authentication and no encryption: an [Exporter] listens where it is
// told to, and whoever reaches that may read. So it listens nowhere by itself, and
// [Server.Public] tells programs when a warning is due. Whoever may ask is still
// bounded: in connections, in the size of a request, in time, and in how often
// metrics are gathered.
package metrics
