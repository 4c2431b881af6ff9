-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA512

{"critical":{"image":{"docker-manifest-digest":"sha256:e9edfb8e46f891370bda2772760ae14bc1572a2ce9263368cd5282dac3241eb8"},"type":"atomic container signature","identity":{"docker-reference":"registry.example.com/okd/release:1.0"}},"optional":{"creator":"test","timestamp":1767571200}}
-----BEGIN PGP SIGNATURE-----

iQFGBAEBCgAwFiEEJWwOLotOzd2DDSAdswS2vZ22ICMFAmla/wASHGFsaWNlQGV4
YW1wbGUuY29tAAoJELMEtr2dtiAjxZ0H/jKfRd+AkvmUccDPA8nf8mCdHndL7FFB
pPYlGwM6kOUe0xu/ejKwpuDZ8zD4SZCxowFkc4k1IuZmmncWDpc/yS+HgxqtVJK5
1zVVC4ETKYqNbxRb0kjW4cCUNY5IL/kNuH5jRstTLSej6hVtzV+osZLtFIiQ+Cfv
ksypr8hWAs2Z/H/05yqdk1kRCZjlYaE+yzfRPFunHZIwdqAynJR8IqyruOOsAG17
XPOc66QQ5yQNCcDWNmU/S0H4TTzm/TBLS7DnezsSyb8MHQEiaVCmGgrLFRjunpJg
A7NvAYRG9+v4TX+PJfcXDhAC9LxgCedJtVX8T6z4KRFoGXl8uiS/qE0=
=V7G5
-----END PGP SIGNATURE-----
