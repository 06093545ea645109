package finding

import "net/url"

// URL makes the finding of something that is asked over the network. Of the URL only
// scheme, host and path are told: a user and a query may hold a password.
func URL(what, address, from string) Finding {
	parsed, err := url.Parse(address)
	if err != nil {
		return Named(what, "", from)
	}
	public := url.URL{Scheme: parsed.Scheme, Host: parsed.Host, Path: parsed.Path}
	return Named(what, public.String(), from)
}
