//! Key files as written by other tools (OpenSSL 3.0). None of these keys is used anywhere.

/// `openssl genpkey -algorithm ed25519`.
pub(super) const PLAIN_FILE: &str = "\
-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIGGn3UptiSfgobDWHc2khEfcj6tCgu07Dx4ekKEouAoz
-----END PRIVATE KEY-----
";

pub(super) const PUBLIC_FILE: &str = "\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAPwww9l4gxrgzQdPepLOCmzycT93ndby+tzjPUyavYY8=
-----END PUBLIC KEY-----
";

/// `openssl pkey -aes256`, passphrase `x`.
pub(super) const AES256: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjUp1xdk8MbFAICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEN74Xm3AL1zV4P6fO60ptmsEQGPy
83Tt0zvEWCZDvXXS1Pm5p7AzE+kOpbENQxJpWZ6ljqImnxLhdqk418UlibNKhju/
OxVSqIgP2Yc8yO4AwTY=
-----END ENCRYPTED PRIVATE KEY-----
";

/// `openssl pkcs8 -topk8`, passphrase `x`.
pub(super) const TOPK8: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgaUDSUUWDHYAICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEJQGjmTL4oNp1NigcNIkXzEEQI57
NTHmSY+r7qzdIBncO/oiEQUj0M8riBlaCwikhe4eNN+kB4Hx89P9cDZmACLOhb6D
JWpR63CKILdcF+B0vGQ=
-----END ENCRYPTED PRIVATE KEY-----
";

/// `openssl pkcs8 -topk8 -scrypt`, passphrase `x`.
pub(super) const SCRYPT: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGTME8GCSqGSIb3DQEFDTBCMCEGCSsGAQQB2kcECzAUBAgZDIx6AH7OWQICQAAC
AQgCAQEwHQYJYIZIAWUDBAEqBBBkNPEq9kGyCI+a33qnSziSBEBWx5lYWnmx7PEY
+wVFY47sbO/YKWZV0rDIvpvDlIkEVMXdYjdYhY8dJmKc53/NRLZ+Cxd/M2gTaKno
nqk7Qg5n
-----END ENCRYPTED PRIVATE KEY-----
";

/// `openssl pkcs8 -topk8 -v1 PBE-SHA1-3DES`.
pub(super) const PBES1: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MFgwHAYKKoZIhvcNAQwBAzAOBAhqpN+7hRf2awICCAAEOKZrRAao3qJ+nF9OFmtr
gDN50fHtNieLGrgWaR3nihYwnE+URaAPRqow0iE799F8JFW36MR0R6YT
-----END ENCRYPTED PRIVATE KEY-----
";

/// `openssl pkcs8 -topk8 -v2prf hmacWithSHA1`.
pub(super) const HMAC_SHA1: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGNMEkGCSqGSIb3DQEFDTA8MBsGCSqGSIb3DQEFDDAOBAjDGxPjo+oWMQICCAAw
HQYJYIZIAWUDBAEqBBCQXb6TYvpncJWoPDcndTxUBEADonMOI1P/UxSjolF7zY/A
6M5dz39agnK04L92u/hC4ndBMLz1paZEQzUUcb7rjvqFaqc6ad+r+beIK+2MPSX9
-----END ENCRYPTED PRIVATE KEY-----
";

/// A key of RFC 5958, version 2, with its public key.
pub(super) const WITH_PUBLIC: &str = "\
-----BEGIN PRIVATE KEY-----
MFECAQEwBQYDK2VwBCIEIGGn3UptiSfgobDWHc2khEfcj6tCgu07Dx4ekKEouAoz
gSEAPwww9l4gxrgzQdPepLOCmzycT93ndby+tzjPUyavYY8=
-----END PRIVATE KEY-----
";

/// RFC 5958, version 2, with a public key that is not its own.
pub(super) const WITH_OTHER_PUBLIC: &str = "\
-----BEGIN PRIVATE KEY-----
MFECAQEwBQYDK2VwBCIEIGGn3UptiSfgobDWHc2khEfcj6tCgu07Dx4ekKEouAoz
gSEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
-----END PRIVATE KEY-----
";

pub(super) const RSA_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDbYYa4H4TMxWKNfiS6nRJ3JeBw
fD043IDyOok+tlRLdNiRjrsmvlzLGREDsT/qePjYHtXPqaSh8rU+U5VN/7qcd0K0
PvRWVWXv2DfQzu/RHx4Vz/TYiEQa8Mlta+Itx8Oj5X73irnyezsMaHhEOrBn8Stg
6w2mH5ps8yS+yx2D5wIDAQAB
-----END PUBLIC KEY-----
";

pub(super) const EC_PRIVATE: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgoUCP7n3/BSpoAC/q
icsTk7ZmqAgfSGktDYOkYH16ui6hRANCAASQkvY/5miiyPWUT/oaujHNqF5oxBqH
LygurxpmHAqbw9F+RbPEgY2OsmkkqpkG70+5QoPhP//l7or/eqNyUuVF
-----END PRIVATE KEY-----
";

pub(super) const EC_TRADITIONAL: &str = "\
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIKFAj+59/wUqaAAv6onLE5O2ZqgIH0hpLQ2DpGB9erouoAoGCCqGSM49
AwEHoUQDQgAEkJL2P+Zoosj1lE/6GroxzaheaMQahy8oLq8aZhwKm8PRfkWzxIGN
jrJpJKqZBu9PuUKD4T//5e6K/3qjclLlRQ==
-----END EC PRIVATE KEY-----
";

pub(super) const EC_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEkJL2P+Zoosj1lE/6GroxzaheaMQa
hy8oLq8aZhwKm8PRfkWzxIGNjrJpJKqZBu9PuUKD4T//5e6K/3qjclLlRQ==
-----END PUBLIC KEY-----
";

pub(super) const X25519_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VuAyEA4wFialrxj/6z8Tds11UxnWHs847FYxqacZoiLTIdmmM=
-----END PUBLIC KEY-----
";
