// Package ca is a small certificate authority: what a VPN needs to give its
// hosts certificates, and nothing else. It takes the place of the shell script
// around "openssl ca" that came with Campagnol 0.3.5, and opens the directories
// that script made.
//
// A CA is a directory of plain files, in the formats of "openssl ca", so that
// both can work on one directory in turn:
//
//	cacert.pem           certificate of the CA
//	private/cakey.pem    its key, encrypted if a pass phrase was given
//	index.txt            table of the certificates issued
//	certs/SERIAL.pem     the certificates
//	crlnumber            number of the next revocation list
//	crl.pem              the current revocation list
//	openssl.cnf          configuration for "openssl ca", not used by us
//	hosts/NAME/          what goes to a host: certificate.pem, key.pem, ca.pem
//
// New certificates name the VPN addresses of their host in the subject
// alternative name, which is what package pki binds peers to.
//
// Every change is made under a lock, in an order that leaves a usable CA
// wherever it is interrupted: a serial number is used up before it is used, and
// a certificate is in the index before it exists, so that it can always be
// revoked. (Only the certificate of a [Registration] is in no file; it lasts a
// day.) Nothing reads the clock or prints; that is for the caller.
//
// A [Service] works on the same directory in a program that runs for long: it
// answers hosts that enrol, and has what all hosts should get.
package ca
