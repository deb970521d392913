package main

// oldCA makes a CA of OpenSSL's, in ./CA, as the script of Campagnol 0.3.5 does: it signs
// with SHA-1, and its certificates say nothing about addresses. Variables before it say
// the rest: the BITS of its key, the SECRET by which that is encrypted, if it is, KEYID,
// one more line of its extensions, ORG, with which all subjects begin, HOSTS, each with
// the bits of its key, and the DOMAIN in which they are.
const oldCA = `set -e
mkdir -p CA/private CA/certs && cd CA
cat >ssl.cnf <<END
[ca]
default_ca = d
[d]
dir = .
database = index.txt
new_certs_dir = certs
certificate = cacert.pem
serial = serial
private_key = private/cakey.pem
default_days = 730
default_md = sha1
policy = p
[p]
organizationName = optional
commonName = supplied
[req]
distinguished_name = dn
[dn]
[v3_ca]
basicConstraints = CA:true
$KEYID
END
echo 01 >serial && : >index.txt
encryption=-nodes
[ -z "$SECRET" ] || encryption="-passout pass:$SECRET"
openssl req -new -x509 -sha1 -newkey rsa:$BITS -days 730 -extensions v3_ca -config ssl.cnf $encryption -keyout private/cakey.pem -out cacert.pem -subj $ORG/CN=vpn.example
for host in $HOSTS; do
	name=${host%:*}
	mkdir $name
	openssl req -new -nodes -newkey rsa:${host#*:} -config ssl.cnf -keyout $name/key.pem -out r.csr -subj $ORG/CN=$name$DOMAIN
	openssl ca -batch -config ssl.cnf -passin pass:$SECRET -in r.csr -out $name/certificate.pem
done
`
