// Package interop has no code of its own: its tests send campaigns to real mail
// servers, Postfix, Exim and OpenSMTPD as Debian packages them, and compare what
// those stored with what was sent.
//
// PENSTOCK_INTEROP=1 runs those whose server is installed; PENSTOCK_INTEROP=postfix
// (or exim, opensmtpd) insists on one. `make interop` installs them, one after
// another. Each server has a configuration, a spool and a port of its own, and
// none outlives its test; starting them takes root.
package interop
