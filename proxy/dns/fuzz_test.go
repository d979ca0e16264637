package dns

import (
	"testing"

	"github.com/miekg/dns"
)

// FuzzMessages: whatever comes, from a pod or from a resolver, nothing panics, a
// refusal has the query's ID and no answer, and what is learned comes from
// records that belong to the name.
func FuzzMessages(f *testing.F) {
	q := new(dns.Msg).SetQuestion("www.example.com.", dns.TypeA)
	for _, m := range []*dns.Msg{q, replyTo(q), replyTo(new(dns.Msg).SetQuestion("svc.example.com.", dns.TypeHTTPS))} {
		packed, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
	}
	f.Add([]byte{1, 2})
	f.Fuzz(func(t *testing.T, message []byte) {
		if q, err := parseQuery(message); err == nil {
			if q.id != idOf(message) {
				t.Errorf("a query with ID %d is taken for %d", idOf(message), q.id)
			}
		}
		if reply := refusal(message, dns.RcodeRefused); reply != nil {
			var m dns.Msg
			if err := m.Unpack(reply); err != nil || !m.Response || len(m.Answer) > 0 || m.Id != idOf(message) {
				t.Errorf("refusal %v, %v", m, err)
			}
		}
		var m dns.Msg
		if m.Unpack(message) != nil {
			return
		}
		for _, asked := range m.Question {
			found, err := parseAnswer(message, asked)
			if err == nil && len(found.addrs) > 0 && (!m.Response || len(m.Answer) == 0) {
				t.Errorf("addresses %v of what is no answer", found.addrs)
			}
		}
		stranger := dns.Question{Name: "stranger.invalid.", Qtype: dns.TypeA, Qclass: dns.ClassINET}
		if found, err := parseAnswer(message, stranger); err == nil && len(m.Question) > 0 && !sameQuestion(m.Question[0], stranger) {
			t.Errorf("an answer to %v gives addresses of another name: %v", m.Question, found.addrs)
		}
	})
}
