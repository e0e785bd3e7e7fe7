package pool

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// script is how a test's server behaves.
type script struct {
	greeting string   // default 220
	caps     []string // EHLO keywords
	tls      *tls.Config
	// badTLS: says 220 to STARTTLS and then no TLS. inject: sends bytes in plain
	// behind that 220.
	badTLS, inject bool
	// hangOnQuit leaves QUIT unanswered.
	hangOnQuit bool
	// drip sends every reply octet by octet.
	drip bool
	// reply may answer a command (the end of a message is "END") with a line of
	// its own; "" is the usual answer, "close" closes, "hang" says nothing, "stall"
	// does not even read.
	reply func(p *peer, verb, line string) string
}

// server is an SMTP server of the tests' own. It shares nothing with the code
// it tests.
type server struct {
	*board
	script script
	name   string
	ln     net.Listener
	wg     sync.WaitGroup
	// stopped is closed when the test is over.
	stopped chan struct{}

	// under the board's lock
	conns      map[net.Conn]bool
	accepted   int
	open       int
	most       int
	messages   int
	secure     int // sessions with TLS
	plain      int // messages without
	resumed    int
	quits      int
	quitsAhead int // of them read with replies not yet sent
	from       []netip.Addr
	rcpts      map[string]int
}

// peer is one connection as the server sees it.
type peer struct {
	n        int // connection number, from 1
	messages int
	secure   bool
	bdat     bool // the latest content came by BDAT
}

func newServer(b *board, name string, sc script) *server {
	b.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	s := &server{board: b, name: name, script: sc, ln: ln, conns: map[net.Conn]bool{}, rcpts: map[string]int{}, stopped: make(chan struct{})}
	s.wg.Add(1)
	go s.accept()
	b.t.Cleanup(s.stop)
	return s
}

func (s *server) stop() {
	_ = s.ln.Close()
	close(s.stopped)
	s.change(func() {
		for c := range s.conns {
			_ = c.Close()
		}
	})
	s.wg.Wait()
}

func (s *server) host(pref uint16) Host {
	return Host{Name: s.name, Preference: pref, Addrs: []netip.AddrPort{s.ln.Addr().(*net.TCPAddr).AddrPort()}}
}

func (s *server) accept() {
	defer s.wg.Done()
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		p := &peer{}
		s.change(func() {
			s.accepted++
			p.n = s.accepted
			s.open++
			s.most = max(s.most, s.open)
			s.conns[c] = true
			s.from = append(s.from, c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr())
		})
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			s.serve(c, p)
			_ = c.Close()
			s.change(func() { s.open--; delete(s.conns, c) })
		}()
	}
}

func (s *server) serve(c net.Conn, p *peer) {
	raw := c
	r := bufio.NewReader(c)
	w := bufio.NewWriter(c)
	// flush only when nothing more is to be read now: as pipelining servers do.
	say := func(line string) {
		_, _ = w.WriteString(line + "\r\n")
		if s.script.drip {
			_ = w.Flush()
		}
		if r.Buffered() == 0 {
			_ = w.Flush()
		}
	}
	if s.script.drip {
		w = bufio.NewWriterSize(dripper{c}, 1)
	}
	// answer is false when the connection is to end; said is what was answered.
	said := ""
	answer := func(verb, line, usual string) bool {
		said = usual
		if f := s.script.reply; f != nil {
			switch a := f(p, verb, line); a {
			case "":
			case "close":
				_ = w.Flush()
				return false
			case "hang":
				_ = w.Flush()
				_, _ = io.Copy(io.Discard, r)
				return false
			case "stall":
				say("354 go on")
				_ = w.Flush()
				<-s.stopped
				return false
			default:
				said = a
				say(a)
				if strings.HasPrefix(a, "421") {
					_ = w.Flush()
					return false
				}
				return true
			}
		}
		say(usual)
		return true
	}
	var mail, to bool // what the transaction has (RFC 5321 4.1.4)
	greeting := s.script.greeting
	if greeting == "" {
		greeting = "220 test"
	}
	if !answer("CONNECT", "", greeting) {
		return
	}
	ended := func(rcpt string) bool {
		usual := "250 ok"
		took := mail && to
		mail, to = false, false
		p.messages++
		if !took {
			say("503 no transaction")
			return true
		}
		if f := s.script.reply; f != nil {
			if a := f(p, "END", rcpt); a != "" {
				took = strings.HasPrefix(a, "2")
				if a == "close" {
					_ = w.Flush()
					return false
				}
				if a == "hang" {
					_ = w.Flush()
					_, _ = io.Copy(io.Discard, r)
					return false
				}
				usual = a
			}
		}
		if took {
			s.change(func() {
				s.messages++
				s.rcpts[rcpt]++
				if !p.secure {
					s.plain++
				}
			})
		}
		say(usual)
		if strings.HasPrefix(usual, "421") {
			_ = w.Flush()
			return false
		}
		return true
	}
	rcpt := ""
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		switch verb {
		case "EHLO", "HELO":
			caps := append([]string{"test"}, s.script.caps...)
			if s.script.tls != nil || s.script.badTLS || s.script.inject {
				if !p.secure {
					caps = append(caps, "STARTTLS")
				}
			}
			var b strings.Builder
			for i, k := range caps {
				sep := "-"
				if i == len(caps)-1 {
					sep = " "
				}
				if i > 0 {
					b.WriteString("\r\n")
				}
				b.WriteString("250" + sep + k)
			}
			if !answer("EHLO", line, b.String()) {
				return
			}
		case "STARTTLS":
			if s.script.inject {
				_, _ = w.WriteString("220 go\r\n250 injected\r\n")
				_ = w.Flush()
				_, _ = io.Copy(io.Discard, r)
				return
			}
			if !answer("STARTTLS", line, "220 go") {
				return
			}
			_ = w.Flush()
			if s.script.badTLS {
				_, _ = r.ReadByte() // of the ClientHello: before it, this would be an injection
				_, _ = io.WriteString(c, "this is not TLS at all\r\n")
				return
			}
			tc := tls.Server(raw, s.script.tls)
			if err := tc.Handshake(); err != nil {
				return
			}
			p.secure = true
			s.change(func() {
				s.secure++
				if tc.ConnectionState().DidResume {
					s.resumed++
				}
			})
			c = tc
			r = bufio.NewReader(tc)
			w = bufio.NewWriter(tc)
			if s.script.drip {
				w = bufio.NewWriterSize(dripper{tc}, 1)
			}
		case "MAIL":
			if mail {
				say("503 nested MAIL")
				continue
			}
			if !answer(verb, line, "250 sender ok") {
				return
			}
			mail = said[0] == '2'
		case "RCPT":
			if !mail {
				say("503 no MAIL")
				continue
			}
			rcpt = strings.TrimSuffix(strings.TrimPrefix(line, "RCPT TO:<"), ">")
			if !answer(verb, line, "250 recipient ok") {
				return
			}
			to = said[0] == '2'
		case "RSET":
			mail, to = false, false
			if !answer(verb, line, "250 reset") {
				return
			}
		case "DATA":
			if !to {
				say("503 no RCPT")
				continue
			}
			if !answer(verb, line, "354 go on") {
				return
			}
			if said[0] != '3' {
				continue
			}
			_ = w.Flush()
			p.bdat = false
			for line != "." {
				line, err = r.ReadString('\n')
				if err != nil {
					return
				}
				line = strings.TrimRight(line, "\r\n")
			}
			if !ended(rcpt) {
				return
			}
		case "BDAT":
			p.bdat = true
			f := strings.Fields(line)
			n, _ := strconv.Atoi(f[1])
			if _, err := io.CopyN(io.Discard, r, int64(n)); err != nil {
				return
			}
			if !ended(rcpt) {
				return
			}
		case "QUIT":
			s.change(func() {
				s.quits++
				if w.Buffered() > 0 {
					s.quitsAhead++
				}
			})
			if s.script.hangOnQuit {
				_ = w.Flush()
				_, _ = io.Copy(io.Discard, r)
				return
			}
			say("221 bye")
			_ = w.Flush()
			return
		default:
			say("500 what")
		}
	}
}

// dripper writes octet by octet.
type dripper struct{ io.Writer }

func (d dripper) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := d.Writer.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// certificate is self-signed, for name.
func certificate(t testing.TB, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
