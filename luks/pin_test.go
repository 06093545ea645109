package luks

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"

	"funlab.casa/attestation_exporter/tpm"
)

func protected(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func clevisToken(t testing.TB, header string) []byte {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"type": "clevis", "jwe": map[string]string{"protected": protected(header)}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

const tang = `{"clevis":{"pin":"tang","tang":{"url":"http://tang"}}}`

// openTPM is a tpm2 pin without a policy: a keyedHash object that its empty
// password opens.
var openTPM = fmt.Sprintf(`{"clevis":{"pin":"tpm2","tpm2":{"jwk_pub":%q}}}`, base64.RawURLEncoding.EncodeToString(
	[]byte("\x00\x2e\x00\x08\x00\x0b\x00\x00\x04\xd2\x00\x00\x00\x10\x00\x20"+string(make([]byte, 32)))))

func sss(threshold int, pins ...string) string {
	var compact []string
	for _, pin := range pins {
		compact = append(compact, protected(pin)+".key.iv.text.tag")
	}
	list, err := json.Marshal(compact)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf(`{"clevis":{"pin":"sss","sss":{"t":%d,"jwe":%s}}}`, threshold, list)
}

func TestReadClevis(t *testing.T) {
	deep := openTPM
	for range maxNesting {
		deep = sss(1, deep)
	}
	tests := []struct {
		name               string
		header             string
		verdict            Verdict
		involvesTPM, needs bool
	}{
		{"tang", tang, Unforetellable, false, false},
		{"no policy", openTPM, Satisfied, true, true},
		{"one of tang and tpm2", sss(1, tang, openTPM), Satisfied, true, false},
		{"both of tang and tpm2", sss(2, tang, openTPM), Unforetellable, true, true},
		{"three of two", sss(3, openTPM, openTPM), Unsatisfied, true, true},
		{"nested", sss(1, sss(2, openTPM, openTPM), tang), Satisfied, true, false},
		{"nested too deep", deep, Unforetellable, true, true},
		{"threshold of nothing", sss(0, tang), Unforetellable, true, true},
		{"signed policy", `{"clevis":{"pin":"tpm2","tpm2":{"pcr_ids":"7","policy_pubkey_path":"/key"}}}`, Unforetellable, true, true},
		{"no public area", `{"clevis":{"pin":"tpm2","tpm2":{"pcr_ids":"7","pcr_bank":"sha256"}}}`, Unforetellable, true, true},
		{"not JSON", `{`, Unforetellable, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := readClevis(clevisToken(t, tt.header))
			if got := p.verdict(func(s sealed) Verdict { return s.verdict(tpm.Measured{}) }); got != tt.verdict {
				t.Errorf("verdict: got %q, want %q", got, tt.verdict)
			}
			if p.involvesTPM() != tt.involvesTPM || p.needsTPM() != tt.needs {
				t.Errorf("involves TPM %t, needs it %t, want %t, %t", p.involvesTPM(), p.needsTPM(), tt.involvesTPM, tt.needs)
			}
		})
	}
}

func TestReadSystemd(t *testing.T) {
	tests := []struct {
		name  string
		token string
		want  Verdict
	}{
		{"no PCRs", `{"tpm2-pcrs":[],"tpm2-policy-hash":""}`, Satisfied},
		{"values not read", `{"tpm2-pcrs":[7],"tpm2-policy-hash":"00"}`, Unread},
		{"PIN", `{"tpm2-pcrs":[7],"tpm2-policy-hash":"00","tpm2-pin":true}`, Unforetellable},
		{"signed policy", `{"tpm2-pcrs":[],"tpm2_pubkey_pcrs":[11],"tpm2_pubkey":"LS0t","tpm2-policy-hash":"00"}`, Unforetellable},
		{"policy in NV memory", `{"tpm2-pcrs":[],"tpm2_pcrlock":true}`, Unforetellable},
		{"PCR that moves", `{"tpm2-pcrs":[7,11],"tpm2-policy-hash":"00"}`, Unforetellable},
		{"no such PCR", `{"tpm2-pcrs":[70],"tpm2-policy-hash":"00"}`, Unforetellable},
		{"one PCR twice", `{"tpm2-pcrs":[7,7],"tpm2-policy-hash":"00"}`, Unforetellable},
		{"key in shards", `{"tpm2-pcrs":[7],"tpm2-policy-hash":["00","01"]}`, Unforetellable},
		{"unknown bank", `{"tpm2-pcrs":[7],"tpm2-policy-hash":"00","tpm2-pcr-bank":"md5"}`, Unforetellable},
		{"no policy", `{"tpm2-pcrs":[7]}`, Unforetellable},
		{"not a token", `[]`, Unforetellable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := readSystemd([]byte(tt.token)).verdict(func(s sealed) Verdict { return s.verdict(tpm.Measured{}) })
			if got != tt.want {
				t.Errorf("verdict: got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestMetadataCountsWaysIn has keyslots that open nothing, and tokens that were
// left behind.
func TestMetadataCountsWaysIn(t *testing.T) {
	m, err := parseMetadata([]byte(`{
		"keyslots": {"0":{"type":"luks2"}, "1":{"type":"luks2"}, "2":{"type":"luks2"}, "3":{"type":"reencrypt"}},
		"digests": {"0":{"keyslots":["0","1","3"],"segments":["0"]}, "1":{"keyslots":["2"],"segments":[]}},
		"tokens": {
			"0":{"type":"systemd-tpm2","keyslots":["1"],"tpm2-pcrs":[7],"tpm2-policy-hash":"00"},
			"1":{"type":"systemd-tpm2","keyslots":["5"],"tpm2-pcrs":[7],"tpm2-policy-hash":"00"},
			"2":{"type":"systemd-recovery","keyslots":["0"]},
			"3":7
		}}`))
	if err != nil {
		t.Fatal(err)
	}
	holders := m.keyholders()
	if got, want := m.keyslots(holders), (Keyslots{TPM: 1, Other: 1}); got != want {
		t.Errorf("keyslots: got %+v, want %+v", got, want)
	}
	if got := m.binding(holders); len(got) != 1 || got[0].token != "0" {
		t.Errorf("bindings: got %+v, want that of token 0 alone", got)
	}
}

func TestMetadataBounded(t *testing.T) {
	tokens := map[string]any{}
	for i := range maxObjects + 1 {
		tokens[strconv.Itoa(i)] = struct{}{}
	}
	text, err := json.Marshal(map[string]any{"tokens": tokens})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseMetadata(text); err == nil {
		t.Errorf("%d tokens: got no error, want one", len(tokens))
	}
}

func FuzzReadClevis(f *testing.F) {
	for _, header := range []string{tang, openTPM, sss(1, tang, openTPM), sss(2, sss(1, openTPM), tang)} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		p := readClevis(clevisToken(t, header))
		bind(keyholder{pin: p}, tpm.Measured{Boot: tpm.Values{tpm.SHA256: {7: make(tpm.Digest, 32)}}})
	})
}
