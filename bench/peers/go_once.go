// Reads once, answers, closes; prints nothing: the least that a Go server of
// this kind does for a request.
package main

import (
	"log"
	"net"
	"os"
)

var reply = []byte("Message received successfully\n")

func answer(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 1024)
	if _, err := conn.Read(buffer); err != nil {
		return
	}
	conn.Write(reply)
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: go_once PATH")
	}
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go answer(conn)
	}
}
