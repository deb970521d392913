package cipherlist

import (
	"strings"
	"sync"
)

// groups are the names that stand for several suites. Where the versions of
// OpenSSL differ, a name stands for what any of them lets it stand for: ECDH for
// fixed ECDH, too, which OpenSSL 1.1 has given up.
var groups = map[string]traits{
	"ALL":                 {enc: ^eNULL},
	"COMPLEMENTOFALL":     {enc: eNULL},
	"COMPLEMENTOFDEFAULT": {standing: notDefault},

	"kRSA":      {kx: kRSA},
	"kEDH":      {kx: kDHE},
	"kDHE":      {kx: kDHE},
	"kDHr":      {kx: kDHrsa},
	"kDHd":      {kx: kDHdss},
	"kDH":       {kx: kDHrsa | kDHdss},
	"DH":        {kx: kDHE | kDHrsa | kDHdss},
	"kEECDH":    {kx: kECDHE},
	"kECDHE":    {kx: kECDHE},
	"kECDHr":    {kx: kECDHrsa},
	"kECDHe":    {kx: kECDHecdsa},
	"kECDH":     {kx: kECDHrsa | kECDHecdsa},
	"ECDH":      {kx: kECDHE | kECDHrsa | kECDHecdsa},
	"kPSK":      {kx: kPSK},
	"kRSAPSK":   {kx: kRSAPSK},
	"kDHEPSK":   {kx: kDHEPSK},
	"kECDHEPSK": {kx: kECDHEPSK},
	"kSRP":      {kx: kSRP},
	"kKRB5":     {kx: kKRB5},
	"kGOST":     {kx: kGOST},
	"kGOST18":   {kx: kGOST18},

	"aRSA":    {auth: aRSA},
	"aDSS":    {auth: aDSS},
	"DSS":     {auth: aDSS},
	"aECDSA":  {auth: aECDSA},
	"ECDSA":   {auth: aECDSA},
	"aDH":     {auth: aDH},
	"aECDH":   {auth: aECDH},
	"aPSK":    {auth: aPSK},
	"aSRP":    {auth: aSRP},
	"aKRB5":   {auth: aKRB5},
	"aGOST94": {auth: aGOST94},
	"aGOST01": {auth: aGOST01},
	"aGOST12": {auth: aGOST12},
	"aGOST":   {auth: aGOST94 | aGOST01 | aGOST12},
	"aNULL":   {auth: aNULL},

	"RSA":   {kx: kRSA, auth: aRSA},
	"EDH":   {kx: kDHE, auth: ^aNULL},
	"DHE":   {kx: kDHE, auth: ^aNULL},
	"ADH":   {kx: kDHE, auth: aNULL},
	"EECDH": {kx: kECDHE, auth: ^aNULL},
	"ECDHE": {kx: kECDHE, auth: ^aNULL},
	"AECDH": {kx: kECDHE, auth: aNULL},
	"PSK":   {kx: kPSK | kRSAPSK | kDHEPSK | kECDHEPSK},
	"SRP":   {kx: kSRP},
	"KRB5":  {kx: kKRB5, auth: aKRB5},

	"AES":         {enc: eAES},
	"AES128":      {enc: eAES128 | eAES128GCM | eAES128CCM | eAES128CCM8},
	"AES256":      {enc: eAES256 | eAES256GCM | eAES256CCM | eAES256CCM8},
	"AESGCM":      {enc: eGCM},
	"AESCCM":      {enc: eCCM},
	"AESCCM8":     {enc: eCCM8},
	"ARIA":        {enc: eARIA},
	"ARIA128":     {enc: eARIA128GCM},
	"ARIA256":     {enc: eARIA256GCM},
	"ARIAGCM":     {enc: eARIA},
	"CAMELLIA":    {enc: eCamellia},
	"CAMELLIA128": {enc: eCamellia128},
	"CAMELLIA256": {enc: eCamellia256},
	"CHACHA20":    {enc: eChaCha20},
	"CBC":         {enc: eCBC},
	"3DES":        {enc: e3DES},
	"DES":         {enc: eDES},
	"IDEA":        {enc: eIDEA},
	"RC2":         {enc: eRC2},
	"RC4":         {enc: eRC4},
	"SEED":        {enc: eSEED},
	"GOST":        {enc: eGOST89},
	"GOST89":      {enc: eGOST89},
	"NULL":        {enc: eNULL},
	"eNULL":       {enc: eNULL},

	"MD5":       {mac: mMD5},
	"SHA":       {mac: mSHA1},
	"SHA1":      {mac: mSHA1},
	"SHA256":    {mac: mSHA256},
	"SHA384":    {mac: mSHA384},
	"GOST94":    {mac: mGOST94},
	"GOST12":    {mac: mGOST12},
	"GOST89MAC": {mac: mGOST89MAC},

	"SSLv3":   {version: ssl3},
	"TLSv1":   {version: tls1},
	"TLSv1.0": {version: tls1},
	"TLSv1.2": {version: tls12},

	"HIGH":     {strength: sHigh},
	"MEDIUM":   {strength: sMedium},
	"LOW":      {strength: sLow},
	"EXP":      {strength: sExport40 | sExport56},
	"EXPORT":   {strength: sExport40 | sExport56},
	"EXPORT40": {strength: sExport40},
	"EXPORT56": {strength: sExport56},
	"FIPS":     {enc: ^eNULL, strength: sFIPS},
}

// oldNames are names that suites had in older versions of OpenSSL.
var oldNames = map[string]string{
	"EDH-DSS-DES-CBC3-SHA":       "DHE-DSS-DES-CBC3-SHA",
	"EDH-RSA-DES-CBC3-SHA":       "DHE-RSA-DES-CBC3-SHA",
	"GOST2012-GOST8912-GOST8912": "LEGACY-GOST2012-GOST8912-GOST8912",
}

// notes say why a name that is known elsewhere, or somewhere else in a list,
// has no effect.
var notes = map[string]string{
	"DEFAULT":       onlyFirst,
	"SUITEB128":     onlyFirst,
	"SUITEB128ONLY": onlyFirst,
	"SUITEB128C2":   onlyFirst,
	"SUITEB192":     onlyFirst,

	"SSLv2":    "there is none of SSL 2",
	"TLSv1.1":  "TLS 1.1 has no suites of its own",
	"TLSv1.3":  tls13Only,
	"DTLSv1":   "write TLSv1",
	"DTLSv1.2": "write TLSv1.2",

	"TLS_AES_128_GCM_SHA256":       tls13Only,
	"TLS_AES_256_GCM_SHA384":       tls13Only,
	"TLS_CHACHA20_POLY1305_SHA256": tls13Only,
	"TLS_AES_128_CCM_SHA256":       tls13Only,
	"TLS_AES_128_CCM_8_SHA256":     tls13Only,
}

const (
	onlyFirst = "it counts only at the start of a list"
	tls13Only = "it is of TLS 1.3, and this is DTLS 1.2"
)

// names returns what every name stands for.
var names = sync.OnceValue(func() map[string]traits {
	m := make(map[string]traits, 2*len(suites)+len(groups)+len(oldNames))
	for i := range suites {
		s := &suites[i]
		m[s.name] = s.traits()
		if s.iana != "" {
			m[s.iana] = s.traits()
		}
	}
	for name, t := range groups {
		m[name] = t
	}
	for old, name := range oldNames {
		m[old] = m[name]
	}
	return m
})

// unknownName returns what is wrong with a name that stands for nothing, and
// what helps, which may be empty.
func unknownName(name string) (kind, string) {
	if n := notes[name]; n != "" {
		return unread, n
	}
	if len(name) > maxName {
		return unknown, ""
	}
	best := "" // the map has no order, and two names may differ in case only
	for known := range names() {
		if strings.EqualFold(known, name) && known > best {
			best = known
		}
	}
	if best == "" {
		return unknown, ""
	}
	return unknown, "it is written " + best
}

// maxName is longer than every name, in bytes.
const maxName = 64
