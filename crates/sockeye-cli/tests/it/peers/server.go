package main

import (
	"fmt"
	"net"
	"os"
)

// The thirty lines that everybody writes.
func main() {
	path := os.Args[1]
	os.Remove(path)
	listener, err := net.Listen("unix", path)
	if err != nil {
		fmt.Println("Error listening:", err)
		os.Exit(1)
	}
	defer listener.Close()
	fmt.Println("Server is listening on", path)
	for {
		conn, err := listener.Accept()
		if err != nil {
			fmt.Println("Error accepting:", err)
			return
		}
		go func() {
			defer conn.Close()
			buf := make([]byte, 1024)
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			fmt.Printf("Received: %q\n", buf[:n])
			conn.Write([]byte("Message received successfully\n"))
		}()
	}
}
