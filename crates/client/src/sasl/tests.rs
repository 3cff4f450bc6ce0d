use super::*;

const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
/// The first message of the broker in RFC 7677.
const SALT: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

fn scram(mechanism: ScramMechanism) -> Sasl {
    Sasl::Scram { mechanism, username: "user".into(), password: "pencil".into() }
}

fn said(message: &[u8]) -> &str {
    std::str::from_utf8(message).expect("text")
}

#[test]
fn both_sides_prove_that_they_know_the_password() {
    // Of RFC 7677, and the same with SHA-512 by another implementation.
    for (mechanism, proof, signature) in [
        (
            ScramMechanism::Sha256,
            "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ),
        (
            ScramMechanism::Sha512,
            "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==",
            "ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==",
        ),
    ] {
        for (last, outcome) in [
            (format!("v={signature}"), Ok(())),
            (format!("v={proof}"), Err("it does not know the password itself")),
            ("e=invalid-proof".into(), Err("invalid-proof")),
            (String::new(), Err("it does not know the password itself")),
        ] {
            let (exchange, first) = Exchange::begin(&scram(mechanism), NONCE.into()).expect("begins");
            assert_eq!(said(&first), format!("n,,n=user,r={NONCE}"));
            let (exchange, answer) = exchange.hear(SALT.as_bytes()).expect("readable").expect("goes on");
            let nonces = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
            assert_eq!(said(&answer), format!("c=biws,r={nonces},p={proof}"));
            let heard = exchange.hear(last.as_bytes()).map(|more| assert!(more.is_none()));
            assert_eq!(heard, outcome.map_err(str::to_owned), "{last}");
        }
    }
}

#[test]
fn a_broker_that_asks_for_too_little_or_too_much_is_not_answered() {
    for (message, problem) in [
        ("r=another,s=AAAA,i=4096", "it answers somebody else"),
        ("r=rOprNGfwEbeRWgbNEkqO,s=AAAA,i=4096", "it answers somebody else"),
        ("r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4095", "it wants the password to be hashed 4095 times"),
        (
            "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4294967295",
            "it wants the password to be hashed 4294967295 times",
        ),
        ("r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=-1", UNREADABLE),
        ("r=rOprNGfwEbeRWgbNEkqOx,s=A,i=4096", UNREADABLE),
        ("m=new,r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4096", UNREADABLE),
        ("", UNREADABLE),
    ] {
        let (exchange, _) = Exchange::begin(&scram(ScramMechanism::Sha256), NONCE.into()).expect("begins");
        assert_eq!(exchange.hear(message.as_bytes()).expect_err("it is no answer"), problem, "{message}");
    }
}

#[test]
fn names_tokens_and_passwords_are_sent_as_each_mechanism_wants_them() {
    let first = |sasl: &Sasl| Exchange::begin(sasl, "x".into()).map(|(_, message)| said(&message).to_owned());
    let plain = |name: &str| Sasl::Plain { username: name.into(), password: "pencil".into() };
    assert_eq!(first(&plain("a=b,c")), Ok("\0a=b,c\0pencil".to_owned()));
    assert!(first(&plain("a\0b")).is_err());
    let username = "a=b,c".to_owned();
    let scram = Sasl::Scram { mechanism: ScramMechanism::Sha512, username, password: "pencil".into() };
    assert_eq!(first(&scram), Ok("n,,n=a=3Db=2Cc,r=x".to_owned()));
    let bearer = Sasl::OAuthBearer(Tokens::new(|| Ok("abc".into())));
    assert_eq!(first(&bearer), Ok("n,,\x01auth=Bearer abc\x01\x01".to_owned()));
    let none = Sasl::OAuthBearer(Tokens::new(|| Err("asleep".into())));
    assert_eq!(first(&none), Err("there is no token: asleep".to_owned()));
    for sasl in [plain("alice"), scram] {
        assert!(!format!("{sasl:?}").contains("pencil"), "{sasl:?}");
    }
}

#[test]
fn a_token_that_is_refused_is_told_with_the_reason() {
    let sasl = Sasl::OAuthBearer(Tokens::unsecured("alice"));
    let hear = |message: &[u8]| {
        let (exchange, _) = Exchange::begin(&sasl, String::new()).expect("begins");
        exchange.hear(message).map(|more| assert!(more.is_none()))
    };
    assert_eq!(hear(b""), Ok(()));
    assert_eq!(hear(br#"{"status":"invalid_token"}"#), Err(r#"{"status":"invalid_token"}"#.to_owned()));
}
