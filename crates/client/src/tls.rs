//! Securing connections (TLS, KIP-651): what is believed, what we show, and what can be wrong with it.
//!
//! Knows certificates and no sockets. Stores are PEM only: the formats of Java's own need more code than the rest of this together.

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, InvalidMessage, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};

use crate::sasl::Password;

/// What every part of a PEM file begins with.
const PEM_MARK: &str = "-----BEGIN ";

/// How connections are secured. The default believes whom the system believes, looks at the broker's name, and shows nothing itself.
///
/// ```
/// use klamm_client::{ClientConfig, Tls, TlsIdentity};
///
/// # let [ca, chain, key] = ["", "", ""].map(String::from);
/// // Each of them the text of a PEM file.
/// let identity = TlsIdentity { chain, key: key.into() };
/// let tls = Tls { roots: Some(ca), identity: Some(identity), ..Tls::default() };
/// let config = ClientConfig { tls: Some(tls), ..ClientConfig::new("broker:9093") };
/// // The same by Kafka's settings, where files are named instead:
/// let settings = [
///     ("bootstrap.servers", "broker:9093"),
///     ("security.protocol", "SSL"),
///     ("ssl.truststore.certificates", "-----BEGIN CERTIFICATE-----…"),
///     ("ssl.keystore.certificate.chain", "-----BEGIN CERTIFICATE-----…"),
///     ("ssl.keystore.key", "…"),
/// ];
/// # let shown = ClientConfig::from_properties(&settings).expect("settings").tls.expect("secured");
/// # assert_eq!(shown.versions, config.tls.expect("secured").versions);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tls {
    /// Certificates in PEM: a broker is believed that one of these vouches for. `None` for those of the system.
    pub roots: Option<String>,
    /// What we show to brokers that want to see a certificate.
    pub identity: Option<TlsIdentity>,
    /// Whether a broker's certificate must be for the name, or the address, by which it is reached. Without that, whoever has any certificate
    /// that is believed can play the broker.
    pub checks_names: bool,
    /// Which versions are spoken; the newest that both sides have is.
    pub versions: Vec<TlsVersion>,
    /// Only these cipher suites, by the names that Kafka has for them; `None` for all, of which none is known to be weak.
    pub cipher_suites: Option<Vec<String>>,
}

/// A certificate of ours, and what proves that it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsIdentity {
    /// Our certificate in PEM, and behind it those that vouch for it.
    pub chain: String,
    /// The key of the first of them in PEM, not encrypted.
    pub key: Password,
}

/// A version of TLS. Those before 1.2 are given up by everybody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsVersion {
    /// 1.2 (RFC 5246)
    V1_2,
    /// 1.3 (RFC 8446)
    V1_3,
}

/// Why a connection is not secure, and so not used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TlsProblem {
    /// Nobody whom we believe vouches for the broker's certificate.
    #[error("nobody we trust vouches for its certificate")]
    UnknownIssuer,
    /// The broker's certificate is too old.
    #[error("its certificate has expired")]
    Expired,
    /// The broker's certificate is for later, or the clock here is wrong.
    #[error("its certificate is not valid yet")]
    NotValidYet,
    /// The broker's certificate is for somebody else.
    #[error("its certificate is for other names{}", listed(.presented))]
    WrongName {
        /// For whom.
        presented: Vec<String>,
    },
    /// The broker's certificate is one that vouches for others.
    #[error(
        "its certificate is that of an authority (CA:TRUE), as openssl req -x509 makes them: brokers need one without that, signed by it or made \
         with -addext basicConstraints=critical,CA:FALSE"
    )]
    AuthorityShown,
    /// The broker's certificate is of the first version of X.509.
    #[error(
        "its certificate is of X.509 version 1, as openssl x509 -req makes them without -extfile: brokers need one of version 3, which names them"
    )]
    OldCertificate,
    /// Something else is wrong with the broker's certificate.
    #[error("its certificate is no good: {0}")]
    BadCertificate(String),
    /// The broker wants no such connection. Where clients have to show a certificate, ours is missing or not believed.
    #[error("it refuses the connection: {0}")]
    Refused(String),
    /// The broker hangs up instead of greeting. Maybe it is just going away.
    #[error("it hung up, as one does that speaks no TLS")]
    HungUp,
    /// Whoever is there does not speak TLS.
    #[error("it does not speak TLS")]
    NotSpoken,
    /// The broker speaks TLS, and we were told not to.
    #[error("it speaks TLS, and security.protocol is plain here")]
    Wanted,
    /// Both sides can't come to terms.
    #[error("{0}")]
    Other(String),
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            roots: None,
            identity: None,
            checks_names: true,
            versions: vec![TlsVersion::V1_2, TlsVersion::V1_3],
            cipher_suites: None,
        }
    }
}

impl Tls {
    /// What connections are made with. Fails where something is not what it should be.
    pub(crate) fn prepare(&self) -> Result<Arc<rustls::ClientConfig>, String> {
        let provider = Arc::new(self.provider()?);
        let verifier = self.verifier(provider.clone())?;
        let versions: Vec<&SupportedProtocolVersion> =
            self.versions.iter().map(|version| version.supported()).collect();
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|problem| format!("these versions and cipher suites: {problem}"))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let Some(identity) = &self.identity else { return Ok(Arc::new(builder.with_no_client_auth())) };
        let chain = certificates(&identity.chain).map_err(|problem| format!("our certificate: {problem}"))?;
        let key = private_key(identity.key.shown()).map_err(|problem| format!("our key: {problem}"))?;
        let config = builder.with_client_auth_cert(chain, key);
        config.map(Arc::new).map_err(|problem| format!("our certificate and key: {problem}"))
    }

    /// Who looks at brokers' certificates.
    fn verifier(&self, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, String> {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()?), provider)
            .build()
            .map_err(|problem| format!("the trusted certificates: {problem}"))?;
        Ok(if self.checks_names { verifier } else { Arc::new(AnyName(verifier)) })
    }

    fn provider(&self) -> Result<CryptoProvider, String> {
        let mut provider = ring::default_provider();
        if let Some(names) = &self.cipher_suites {
            provider.cipher_suites.retain(|suite| {
                let name = format!("{:?}", suite.suite()).replace("TLS13_", "TLS_");
                names.contains(&name)
            });
            if provider.cipher_suites.is_empty() {
                return Err("none of the cipher suites is spoken here".into());
            }
        }
        Ok(provider)
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut store = RootCertStore::empty();
        match &self.roots {
            Some(text) => {
                let bad = |problem| format!("the trusted certificates: {problem}");
                for certificate in certificates(text).map_err(bad)? {
                    store.add(certificate).map_err(|problem| bad(problem.to_string()))?;
                }
            }
            None => {
                // Among those of a system there may be one that is too old for us.
                let (added, _) =
                    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if added == 0 {
                    return Err("this system trusts no certificate: say which to trust".into());
                }
            }
        }
        Ok(store)
    }
}

impl TlsVersion {
    fn supported(self) -> &'static SupportedProtocolVersion {
        match self {
            Self::V1_2 => &rustls::version::TLS12,
            Self::V1_3 => &rustls::version::TLS13,
        }
    }
}

impl TlsProblem {
    pub(crate) fn of(error: &rustls::Error) -> Self {
        use CertificateError as C;
        use rustls::Error as E;
        match error {
            E::InvalidCertificate(C::UnknownIssuer) => Self::UnknownIssuer,
            E::InvalidCertificate(C::Expired | C::ExpiredContext { .. }) => Self::Expired,
            E::InvalidCertificate(C::NotValidYet | C::NotValidYetContext { .. }) => Self::NotValidYet,
            E::InvalidCertificate(C::NotValidForName) => Self::WrongName { presented: Vec::new() },
            E::InvalidCertificate(C::NotValidForNameContext { presented, .. }) => {
                // They are told as `DnsName("a.b")`.
                let bare = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
                Self::WrongName { presented: presented.iter().map(bare).collect() }
            }
            E::InvalidCertificate(C::Other(problem)) => match problem.to_string().as_str() {
                "CaUsedAsEndEntity" => Self::AuthorityShown,
                "UnsupportedCertVersion" => Self::OldCertificate,
                other => Self::BadCertificate(other.to_owned()),
            },
            E::InvalidCertificate(problem) => Self::BadCertificate(problem.to_string()),
            E::AlertReceived(alert) => Self::Refused(format!("{alert:?}")),
            E::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Self::NotSpoken,
            problem => Self::Other(problem.to_string()),
        }
    }
}

/// Believes what its better half believes, for whatever name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError as C;
        match self.0.verify_server_cert(certificate, intermediates, name, ocsp_response, now) {
            // The name comes last: everything else was right.
            Err(rustls::Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let found = found.map_err(|problem| problem.to_string())?;
    if found.is_empty() { Err("there is none in it".into()) } else { Ok(found) }
}

fn private_key(text: &str) -> Result<PrivateKeyDer<'static>, String> {
    if text.contains("ENCRYPTED") {
        return Err("it is encrypted; openssl pkcs8 -in FILE -out PLAIN makes one that is not".into());
    }
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| "there is none in it".into())
}

/// The text of a store, which is PEM whatever Kafka's default may be.
#[allow(clippy::disallowed_methods, reason = "settings name files, and nobody else here opens them")]
pub(crate) fn read_store(file: &str) -> Result<String, String> {
    let bytes = std::fs::read(Path::new(file)).map_err(|error| error.to_string())?;
    let text = String::from_utf8(bytes).ok().filter(|text| text.contains(PEM_MARK));
    text.ok_or_else(|| NOT_PEM.to_owned())
}

/// How stores of Java's are turned into something that everybody reads.
pub(crate) const NOT_PEM: &str = "only PEM is read. A truststore of Java's becomes PEM by keytool -list -rfc -keystore FILE > PEM; a keystore \
    by keytool -importkeystore -srckeystore FILE -destkeystore P12 -deststoretype PKCS12, and openssl pkcs12 -in P12 -nodes -out PEM";

/// PEM that stands in a file of settings has lost its lines, which matter.
pub(crate) fn with_lines(text: &str) -> String {
    let mut lines = String::new();
    for (number, part) in text.split("-----").enumerate() {
        match number % 2 {
            0 if part.trim().is_empty() => {}
            0 => lines.extend(part.split_whitespace().chain(["\n"])),
            _ => lines.extend(["-----", part, "-----\n"]),
        }
    }
    lines
}
