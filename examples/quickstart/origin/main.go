// A plain file server: the origin of the quickstart. It knows nothing of caching but Last-Modified.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync/atomic"
)

func main() {
	address := flag.String("listen", "127.0.0.1:0", "address to listen on")
	root := flag.String("root", ".", "directory to serve")
	addressFile := flag.String("address-file", "", "where to write the address")
	flag.Parse()

	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	if *addressFile != "" {
		if err := os.WriteFile(*addressFile, []byte(listener.Addr().String()), 0o644); err != nil {
			log.Fatal(err)
		}
	}
	var requests atomic.Int64
	files := http.FileServer(http.Dir(*root))
	log.Fatal(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Lets a visitor see whether the origin was asked.
		w.Header().Set("X-Origin-Request", fmt.Sprint(requests.Add(1)))
		files.ServeHTTP(w, r)
	})))
}
