package main

import (
	"fmt"
	"net"
	"os"
)

// Dials, writes, reads once: it neither half-closes nor reads to the end.
func main() {
	conn, err := net.Dial("unix", os.Args[1])
	if err != nil {
		fmt.Println("Error dialing:", err)
		os.Exit(1)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("Hello UNIX socket!\n")); err != nil {
		fmt.Println("Error writing:", err)
		os.Exit(1)
	}
	buf := make([]byte, 1024)
	n, err := conn.Read(buf)
	if err != nil {
		fmt.Println("Error reading:", err)
		os.Exit(1)
	}
	fmt.Printf("Server replied: %s", buf[:n])
}
