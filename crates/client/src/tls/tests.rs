use std::fs;
use std::time::Duration;

use crate::{ClientConfig, Tls, TlsIdentity};

use super::*;

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAABBBB\n-----END CERTIFICATE-----\n";

/// A certificate that one can trust.
const REAL: &str = "\
-----BEGIN CERTIFICATE-----
MIIBcTCCARegAwIBAgIUTq17ujs/JGx7fOyjfMGSXXQUNHswCgYIKoZIzj0EAwIw
DTELMAkGA1UEAwwCY2EwIBcNMjYxMTI4MTMxOTE3WhgPMjEyNjExMDQxMzE5MTha
MA0xCzAJBgNVBAMMAmNhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEjDQz5+6r
N5IbpnM5C+8o4+/MK6VLRhtM+nQr3S5O24tIzPF6EM9ibT/cUSSNAfKYDEeZvQxZ
oqDeSuNXYSAlmKNTMFEwHQYDVR0OBBYEFJYFv4sELv1A+/br6AfG5984thMlMB8G
A1UdIwQYMBaAFJYFv4sELv1A+/br6AfG5984thMlMA8GA1UdEwEB/wQFMAMBAf8w
CgYIKoZIzj0EAwIDSAAwRQIgDBSeLcHv6xzDQfI/D2rBfjPLaPAmDSDMeJhJ+W8u
jbECIQC9hOcp04C+JFkKrieyORZb9DATGKcb14qnYSgCU03jBA==
-----END CERTIFICATE-----
";

/// One of X.509 version 1, as openssl makes them unless it is told otherwise.
const OLD: &str = "\
-----BEGIN CERTIFICATE-----
MIIBGTCBvwIUc3XI7KNoVLLfIIfoDbU6ApWyKsIwCgYIKoZIzj0EAwIwDjEMMAoG
A1UEAwwDb2xkMCAXDTI2MTEyODE2MjQxMVoYDzIxMjYxMTA0MTYyNDExWjAOMQww
CgYDVQQDDANvbGQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASuvEDxlFc+Be5o
XIii2ltuz7pgYWMPLAMj99XsQryl7J5Byg1AYUxqeWnKMMgMruQu6WL8Lnb6mTuq
Bp2sOkRaMAoGCCqGSM49BAMCA0kAMEYCIQCTUb8GPHFmLjI1xlV+/3K2YI+Er8e+
HJe1QgwO3UAVXwIhAJHEg1ct3jzC2coAQFqetxmJzmPvMKH3/z8MNuaMOUaz
-----END CERTIFICATE-----
";

#[test]
fn certificates_that_only_others_believe_are_told_with_the_way_out() {
    for (shown, problem) in [(REAL, TlsProblem::AuthorityShown), (OLD, TlsProblem::OldCertificate)] {
        let tls = Tls { roots: Some(shown.into()), ..Tls::default() };
        let verifier = tls.verifier(Arc::new(ring::default_provider())).expect("it can be trusted");
        let certificate = CertificateDer::from_pem_slice(shown.as_bytes()).expect("a certificate");
        let name = ServerName::try_from("broker").expect("a name");
        let now = UnixTime::since_unix_epoch(Duration::from_secs(2_000_000_000));
        let refused = verifier.verify_server_cert(&certificate, &[], &name, &[], now);
        assert_eq!(TlsProblem::of(&refused.expect_err("nobody shows such")), problem);
    }
}

#[test]
fn certificates_in_a_file_of_settings_get_their_lines_back() {
    let in_two = CERTIFICATE.replace("AAAA", "AAAA\n");
    for squeezed in [in_two.replace('\n', " "), in_two.replace('\n', ""), in_two] {
        assert_eq!(with_lines(&squeezed), CERTIFICATE);
        assert_eq!(with_lines(&squeezed.repeat(2)), CERTIFICATE.repeat(2));
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "stores are files")]
fn stores_are_read_from_files_and_java_s_own_are_refused_with_the_way_out() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = |name: &str, content: &[u8]| {
        let file = directory.path().join(name);
        fs::write(&file, content).expect("written");
        file.to_str().expect("text").to_owned()
    };
    let secret = "-----BEGIN PRIVATE KEY-----\nCCCC\n-----END PRIVATE KEY-----\n";
    let text = format!("{secret}{CERTIFICATE}");
    let (pem, jks) = (file("store.pem", text.as_bytes()), file("store.jks", b"\xfe\xed\xfe\xed\0\0\0\x02"));
    let keys_only = file("keys.pem", secret.as_bytes());
    let read = |key: &str, value: &str| {
        let settings = [("bootstrap.servers", "a:1"), ("security.protocol", "SSL"), (key, value)];
        ClientConfig::from_properties(&settings)
    };
    let identity = TlsIdentity { chain: CERTIFICATE.into(), key: text.into() };
    for (key, tls) in [
        ("ssl.truststore.location", Tls { roots: Some(CERTIFICATE.into()), ..Tls::default() }),
        ("ssl.keystore.location", Tls { identity: Some(identity), ..Tls::default() }),
    ] {
        let config = read(key, &pem).expect("it is there");
        assert!(!format!("{config:?}").contains("CCCC"), "the key is a secret: {config:?}");
        assert_eq!(config.tls, Some(tls));
        let error = read(key, &keys_only).expect_err("no certificate").to_string();
        assert_eq!(error, format!("{key}={keys_only}: no certificate in PEM is in it"));
        let error = read(key, &jks).expect_err("not PEM").to_string();
        assert!(error.contains("only PEM is read") && error.contains("keytool"), "{error}");
        let error = read(key, "/nowhere").expect_err("not there").to_string();
        assert!(error.starts_with(&format!("{key}=/nowhere: No such file")), "{error}");
    }
}

#[test]
fn what_connections_cannot_be_secured_with_is_named() {
    let of_key = |key: &str| Tls {
        identity: Some(TlsIdentity { chain: CERTIFICATE.into(), key: key.into() }),
        roots: Some(REAL.into()),
        ..Tls::default()
    };
    for (tls, told) in [
        (
            Tls { roots: Some(String::new()), ..Tls::default() },
            "the trusted certificates: there is none in it",
        ),
        (Tls { roots: Some(CERTIFICATE.into()), ..Tls::default() }, "the trusted certificates: "),
        (Tls { versions: Vec::new(), ..of_key("") }, "these versions and cipher suites: "),
        (
            Tls { cipher_suites: Some(vec!["TLS_RSA_WITH_NULL_MD5".into()]), ..of_key("") },
            "none of the cipher suites",
        ),
        (of_key(CERTIFICATE), "our key: there is none in it"),
        (of_key("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "our key: it is encrypted; openssl pkcs8"),
    ] {
        let problem = tls.prepare().expect_err("of no use");
        assert!(problem.starts_with(told), "{problem}");
    }
    let suites = Some(vec!["TLS_AES_256_GCM_SHA384".to_owned(), "TLS_RSA_WITH_NULL_MD5".to_owned()]);
    let config = Tls { identity: None, cipher_suites: suites, ..of_key("") }.prepare().expect("one is known");
    assert_eq!(config.crypto_provider().cipher_suites.len(), 1);
}
