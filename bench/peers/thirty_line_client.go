// The client to the thirty-line server: one message, one answer. It reads once
// and does not half-close.
package main

import (
	"fmt"
	"log"
	"net"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: thirty_line_client PATH")
	}
	conn, err := net.Dial("unix", os.Args[1])
	if err != nil {
		log.Fatal("dial: ", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("Hello UNIX socket!\n")); err != nil {
		log.Fatal("write: ", err)
	}
	buffer := make([]byte, 1024)
	n, err := conn.Read(buffer)
	if err != nil {
		log.Fatal("read: ", err)
	}
	fmt.Println(string(buffer[:n]))
}
