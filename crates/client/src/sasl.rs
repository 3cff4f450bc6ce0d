//! Showing brokers who we are (SASL): what is said, without sockets.
//!
//! Invariant: a password leaves this client by PLAIN only; with SCRAM no broker is believed that does not prove that it knows it too.

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use pbkdf2::pbkdf2_hmac_array;
use sha2::{Digest, Sha256, Sha512};

use crate::admin::ScramMechanism;

/// How often a broker may ask to hash a password: less often is too easily guessed (RFC 7677), and more often would keep us busy.
const ITERATIONS: RangeInclusive<u32> = 4_096..=131_072;
/// `n,,` in base 64: no channel binding, and no other name to act under.
const NO_BINDING: &str = "biws";
/// As much as is told of a broker's complaint.
const COMPLAINT_SIZE_MAX: usize = 200;

/// How a client shows brokers who it is.
///
/// ```
/// use klamm_client::{ClientConfig, Sasl, ScramMechanism};
///
/// let mechanism = ScramMechanism::Sha512;
/// let sasl = Sasl::Scram { mechanism, username: "alice".into(), password: "secret".into() };
/// let config = ClientConfig { sasl: Some(sasl), ..ClientConfig::new("broker:9092") };
/// // The same by Kafka's settings:
/// let settings = [
///     ("bootstrap.servers", "broker:9092"),
///     ("security.protocol", "SASL_PLAINTEXT"),
///     ("sasl.mechanism", "SCRAM-SHA-512"),
///     ("sasl.jaas.config", r#"ScramLoginModule required username="alice" password="secret";"#),
/// ];
/// assert_eq!(ClientConfig::from_properties(&settings), Ok(config));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sasl {
    /// By a name and a password as they are (RFC 4616): whoever sees what goes over the wire knows them.
    Plain {
        /// The name.
        username: String,
        /// The password.
        password: Password,
    },
    /// By a proof that it knows the password (RFC 5802, KIP-84); the broker has to prove the same.
    Scram {
        /// Which kind.
        mechanism: ScramMechanism,
        /// The name.
        username: String,
        /// The password.
        password: Password,
    },
    /// By a token that somebody else gave out (RFC 7628, KIP-255).
    OAuthBearer(Tokens),
}

impl Sasl {
    /// What brokers call it.
    pub fn mechanism(&self) -> &'static str {
        match self {
            Self::Plain { .. } => "PLAIN",
            Self::Scram { mechanism, .. } => mechanism.name(),
            Self::OAuthBearer(_) => "OAUTHBEARER",
        }
    }
}

/// What is shown to nobody by mistake.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Password(Arc<str>);

impl Password {
    pub(crate) fn shown(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Password {
    fn from(password: &str) -> Self {
        Self(password.into())
    }
}

impl From<String> for Password {
    fn from(password: String) -> Self {
        Self(password.into())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// Where tokens come from: asked for one for each connection, and again before a broker's session ends.
#[derive(Clone)]
pub struct Tokens(Arc<Give>);

type Give = dyn Fn() -> Result<String, String> + Send + Sync;

impl Tokens {
    /// From whatever knows the newest. It must not block.
    pub fn new(give: impl Fn() -> Result<String, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(give))
    }

    /// Tokens of one's own making, which prove nothing: for brokers in tests that believe them.
    pub fn unsecured(subject: &str) -> Self {
        let subject = subject.replace('\\', "\\\\").replace('"', "\\\"");
        Self::new(move || {
            const LIFETIME_S: i64 = 3_600;
            let now_s = crate::net::Clock::wall().0 / 1_000;
            let claims = format!(r#"{{"sub":"{subject}","iat":{now_s},"exp":{}}}"#, now_s + LIFETIME_S);
            let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
            Ok(format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(&claims)))
        })
    }
}

impl PartialEq for Tokens {
    /// Whether they are the very same.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Tokens {}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

/// A talk with a broker, after our last message.
#[derive(Debug)]
pub(crate) enum Exchange {
    /// It has only to agree.
    Agreement,
    /// It agrees by saying nothing.
    Silence,
    /// It says how the password was salted.
    Salt { mechanism: ScramMechanism, password: Password, nonce: String, first: String },
    /// It proves that it knows the password.
    Proof { expected: Vec<u8> },
}

impl Exchange {
    /// And our first message. Nobody may know `nonce` before.
    pub(crate) fn begin(sasl: &Sasl, nonce: String) -> Result<(Self, Vec<u8>), String> {
        match sasl {
            Sasl::Plain { username, password } => {
                if username.contains('\0') || password.0.contains('\0') {
                    return Err("neither a name nor a password has zeros in it".into());
                }
                Ok((Self::Agreement, format!("\0{username}\0{}", password.0).into_bytes()))
            }
            Sasl::Scram { mechanism, username, password } => {
                let username = username.replace('=', "=3D").replace(',', "=2C");
                let first = format!("n={username},r={nonce}");
                let message = format!("n,,{first}").into_bytes();
                Ok((Self::Salt { mechanism: *mechanism, password: password.clone(), nonce, first }, message))
            }
            Sasl::OAuthBearer(tokens) => {
                let token = (tokens.0)().map_err(|problem| format!("there is no token: {problem}"))?;
                Ok((Self::Silence, format!("n,,\x01auth=Bearer {token}\x01\x01").into_bytes()))
            }
        }
    }

    /// What follows on the broker's message: our next one, or `None` when all is said and it knows us.
    pub(crate) fn hear(self, message: &[u8]) -> Result<Option<(Self, Vec<u8>)>, String> {
        match self {
            Self::Agreement => Ok(None),
            Self::Silence if message.is_empty() => Ok(None),
            Self::Silence => Err(complaint(&String::from_utf8_lossy(message))),
            Self::Salt { mechanism, password, nonce, first } => {
                prove(mechanism, &password, &nonce, &first, text(message)?).map(Some)
            }
            Self::Proof { expected } => {
                let message = text(message)?;
                if let Some(problem) = message.strip_prefix("e=") {
                    return Err(complaint(problem));
                }
                let signature = message.strip_prefix("v=").map(|it| it.split(',').next().unwrap_or(it));
                match signature.and_then(|it| BASE64_STANDARD.decode(it).ok()) {
                    Some(signature) if signature == expected => Ok(None),
                    Some(_) | None => Err("it does not know the password itself".into()),
                }
            }
        }
    }
}

/// Answers the broker's first message of SCRAM.
fn prove(
    mechanism: ScramMechanism,
    password: &Password,
    nonce: &str,
    first: &str,
    message: &str,
) -> Result<(Exchange, Vec<u8>), String> {
    let mut fields = message.split(',');
    let mut field = |name: &str| fields.next().and_then(|field| field.strip_prefix(name)).ok_or(UNREADABLE);
    let (both_nonces, salt, iterations) = (field("r=")?, field("s=")?, field("i=")?);
    if !both_nonces.starts_with(nonce) || both_nonces.len() == nonce.len() {
        return Err("it answers somebody else".into());
    }
    let salt = BASE64_STANDARD.decode(salt).map_err(|_| UNREADABLE)?;
    let iterations: u32 = iterations.parse().map_err(|_| UNREADABLE)?;
    if !ITERATIONS.contains(&iterations) {
        return Err(format!("it wants the password to be hashed {iterations} times"));
    }
    let salted = salted_password(mechanism, password, &salt, iterations);
    let without_proof = format!("c={NO_BINDING},r={both_nonces}");
    let said = format!("{first},{message},{without_proof}");
    let client_key = keyed(mechanism, &salted, b"Client Key");
    let signature = keyed(mechanism, &hashed(mechanism, &client_key), said.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, it)| key ^ it).collect();
    let expected = keyed(mechanism, &keyed(mechanism, &salted, b"Server Key"), said.as_bytes());
    let answer = format!("{without_proof},p={}", BASE64_STANDARD.encode(proof));
    Ok((Exchange::Proof { expected }, answer.into_bytes()))
}

const UNREADABLE: &str = "its message is no message of SCRAM";

fn text(message: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(message).map_err(|_| UNREADABLE.to_owned())
}

fn complaint(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(COMPLAINT_SIZE_MAX).collect()
}

/// What RFC 5802 calls `Hi(password, salt, iterations)`.
pub(crate) fn salted_password(
    mechanism: ScramMechanism,
    password: &Password,
    salt: &[u8],
    iterations: u32,
) -> Vec<u8> {
    let password = password.0.as_bytes();
    match mechanism {
        ScramMechanism::Sha256 => pbkdf2_hmac_array::<Sha256, 32>(password, salt, iterations).to_vec(),
        ScramMechanism::Sha512 => pbkdf2_hmac_array::<Sha512, 64>(password, salt, iterations).to_vec(),
    }
}

fn keyed(mechanism: ScramMechanism, key: &[u8], message: &[u8]) -> Vec<u8> {
    fn by<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
        let mut mac = <M as Mac>::new_from_slice(key).expect("keys may have any length");
        mac.update(message);
        mac.finalize().into_bytes().to_vec()
    }
    match mechanism {
        ScramMechanism::Sha256 => by::<Hmac<Sha256>>(key, message),
        ScramMechanism::Sha512 => by::<Hmac<Sha512>>(key, message),
    }
}

fn hashed(mechanism: ScramMechanism, message: &[u8]) -> Vec<u8> {
    match mechanism {
        ScramMechanism::Sha256 => Sha256::digest(message).to_vec(),
        ScramMechanism::Sha512 => Sha512::digest(message).to_vec(),
    }
}
