package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// fetch gets a page from an address.
func fetch(at netip.AddrPort, path string) (status int, text string, err error) {
	conn, err := net.Dial("tcp", at.String())
	if err != nil {
		return 0, "", err
	}
	return fetchOver(conn, path)
}

// fetchOver gets a page over a connection, which it closes.
func fetchOver(conn net.Conn, path string) (status int, text string, err error) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: campagnol\r\nConnection: close\r\n\r\n", path); err != nil {
		return 0, "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}
