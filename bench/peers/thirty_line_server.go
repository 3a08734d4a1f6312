// The thirty lines that everybody writes, faults and all: it takes the path from
// whoever has it, waits for nobody at the end, and knows no errors but fatal ones.
package main

import (
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
)

func handle(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 1024)
	n, err := conn.Read(buffer)
	if err != nil {
		log.Println("read:", err)
		return
	}
	fmt.Printf("Received: %s\n", buffer[:n])
	if _, err := conn.Write([]byte("Message received successfully")); err != nil {
		log.Println("write:", err)
	}
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: thirty_line_server PATH")
	}
	path := os.Args[1]
	os.Remove(path)
	listener, err := net.Listen("unix", path)
	if err != nil {
		log.Fatal("listen: ", err)
	}

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		listener.Close()
		os.Remove(path)
		os.Exit(0)
	}()

	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Println("accept:", err)
			return
		}
		go handle(conn)
	}
}
