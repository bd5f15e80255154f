// Probe is what tests run inside of pods, in an image that has nothing else:
//
//	probe listen PORT…          accepts connections and closes them
//	probe connect MS TARGET…    a line for each HOST:PORT: "TARGET yes" or "TARGET no"
//	probe get URL               the body; ends with 1 unless the status is 2xx
//	probe lookup NAME           its addresses
//	probe fill FILE, drop FILE  writes until the disk is full; removes the file
//	probe metrics PORT          an API server of custom metrics: one number for some pods
//	probe set N PODS            the number, and the pods (with commas) that it is told of; prints how often it was asked
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func listen(ports []string) {
	for _, port := range ports {
		l, err := net.Listen("tcp", ":"+port)
		fail(err)
		go func() {
			for {
				c, err := l.Accept()
				fail(err)
				c.Close()
			}
		}()
	}
	select {}
}

func connect(wait string, targets []string) {
	limit, err := time.ParseDuration(wait + "ms")
	fail(err)
	answers := make([]string, len(targets))
	var all sync.WaitGroup
	for i, target := range targets {
		all.Add(1)
		go func() {
			defer all.Done()
			answers[i] = "no"
			if c, err := net.DialTimeout("tcp", target, limit); err == nil {
				c.Close()
				answers[i] = "yes"
			}
		}()
	}
	all.Wait()
	for i, target := range targets {
		fmt.Println(target, answers[i])
	}
}

func get(url string) {
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get(url)
	fail(err)
	body, err := io.ReadAll(answer.Body)
	fail(err)
	fmt.Println(string(body))
	if answer.StatusCode/100 != 2 {
		fail(fmt.Errorf("status %d", answer.StatusCode))
	}
}

func lookup(name string) {
	within, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	addresses, err := (&net.Resolver{PreferGo: true}).LookupHost(within, name)
	fail(err)
	fmt.Println(strings.Join(addresses, "\n"))
}

func fill(path string) {
	file, err := os.Create(path)
	fail(err)
	block := make([]byte, 4096)
	count := 0
	for {
		n, err := file.Write(block)
		count += n
		if err != nil {
			fmt.Println(count, err)
			return
		}
	}
}

func certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fail(err)
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(240 * time.Hour), DNSNames: []string{"metrics"}}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	fail(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

type object = map[string]any

// What the autoscaler asks: the resources that there are, and one of them for its pods. Which those are the test says (probe set),
// for this server has no account at the API. Without any word "probe no" fails: a readiness probe that never holds.
func metrics(port string) {
	var lock sync.Mutex
	value, pods := "0", []string{}
	var asked int
	wanted := regexp.MustCompile(`^/apis/custom.metrics.k8s.io/v1beta2/namespaces/([^/]+)/pods/\*/([^/]+)$`)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lock.Lock()
		defer lock.Unlock()
		w.Header().Set("Content-Type", "application/json")
		found := wanted.FindStringSubmatch(r.URL.Path)
		if found == nil {
			json.NewEncoder(w).Encode(object{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "custom.metrics.k8s.io/v1beta2",
				"resources": []object{{"name": "pods/duka_queue_age_seconds", "namespaced": true, "kind": "MetricValueList", "verbs": []string{"get"}}}})
			return
		}
		asked++
		items := []object{}
		for _, pod := range pods {
			items = append(items, object{"describedObject": object{"kind": "Pod", "namespace": found[1], "name": pod, "apiVersion": "/v1"},
				"metric": object{"name": found[2]}, "timestamp": time.Now().UTC().Format(time.RFC3339), "value": value})
		}
		json.NewEncoder(w).Encode(object{"kind": "MetricValueList", "apiVersion": "custom.metrics.k8s.io/v1beta2", "metadata": object{}, "items": items})
	})
	go func() {
		fail(http.ListenAndServe("127.0.0.1:8081", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			lock.Lock()
			defer lock.Unlock()
			if r.URL.Query().Has("value") {
				value, pods = r.URL.Query().Get("value"), strings.Split(r.URL.Query().Get("pods"), ",")
			}
			fmt.Fprintln(w, asked)
		})))
	}()
	server := http.Server{Addr: ":" + port, Handler: handler, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate()}}}
	fail(server.ListenAndServeTLS("", ""))
}

func main() {
	words := append(os.Args[1:], "", "", "")
	switch words[0] {
	case "listen":
		listen(os.Args[2:])
	case "connect":
		connect(words[1], os.Args[3:])
	case "get":
		get(words[1])
	case "lookup":
		lookup(words[1])
	case "fill":
		fill(words[1])
	case "drop":
		fail(os.Remove(words[1]))
	case "metrics":
		metrics(words[1])
	case "set":
		get("http://127.0.0.1:8081/?value=" + words[1] + "&pods=" + words[2])
	case "no":
		os.Exit(1)
	default:
		fail(fmt.Errorf("probe: what is %q?", words[0]))
	}
}
