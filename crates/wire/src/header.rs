//! What stands in front of every request and response.

use crate::{ApiKey, DecodeError, DecodeProblem, EncodeError, Encoded, Reader, Request, Response, Writer};

/// In front of every request. Its own version follows from the API's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// Whose request it is.
    pub api_key: ApiKey,
    /// The version of the body, which nobody has checked yet.
    pub api_version: i16,
    /// Comes back in the response.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<String>,
}

impl RequestHeader {
    /// Takes the header from the start of a frame. Any version of a known API is fine: an ApiVersions request of an unknown
    /// version gets an answer that is no error of the header.
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let number = reader.i16()?;
        let api_version = reader.i16()?;
        let correlation_id = reader.i32()?;
        let Some(api_key) = ApiKey::from_number(number) else {
            return Err(reader.error(DecodeProblem::UnknownApiKey(number)));
        };
        reader.set_version(api_version, api_key.is_flexible(api_version));
        // Kept in the old encoding, so that a server can read it whatever the version.
        let client_id = reader.classic_nullable_string()?;
        reader.skip_tags()?;
        Ok(Self { api_key, api_version, correlation_id, client_id })
    }

    /// Appends the header.
    pub fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i16(self.api_key.number());
        writer.i16(self.api_version);
        writer.i32(self.correlation_id);
        writer.set_version(self.api_version, self.api_key.is_flexible(self.api_version));
        writer.classic_nullable_string(&self.client_id)?;
        writer.no_tags();
        Ok(())
    }
}

/// In front of every response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHeader {
    /// Which request is answered.
    pub correlation_id: i32,
}

impl ResponseHeader {
    /// Takes the header of the answer to a request of this API and version from the start of a frame.
    pub fn decode(reader: &mut Reader, key: ApiKey, version: i16) -> Result<Self, DecodeError> {
        let correlation_id = reader.i32()?;
        reader.set_version(version, Self::is_flexible(key, version));
        reader.skip_tags()?;
        Ok(Self { correlation_id })
    }

    /// Appends the header.
    pub fn encode(&self, writer: &mut Writer, key: ApiKey, version: i16) {
        writer.i32(self.correlation_id);
        writer.set_version(version, Self::is_flexible(key, version));
        writer.no_tags();
    }

    /// A client that asks for ApiVersions does not know yet what the server can read and write (KIP-511).
    fn is_flexible(key: ApiKey, version: i16) -> bool {
        key != ApiKey::ApiVersions && key.is_flexible(version)
    }
}

/// The whole frame of a request, its length included, in the header's version.
///
/// # Panics
/// If header and body are not of the same API.
pub fn encode_request(header: &RequestHeader, body: &Request) -> Result<Encoded, EncodeError> {
    assert_eq!(header.api_key, body.api_key(), "header and body");
    let mut writer = Writer::begin_frame();
    header.encode(&mut writer)?;
    body.encode(&mut writer, header.api_version)?;
    writer.finish_frame()
}

/// The whole frame of a response, its length included.
pub fn encode_response(correlation_id: i32, version: i16, body: &Response) -> Result<Encoded, EncodeError> {
    let mut writer = Writer::begin_frame();
    ResponseHeader { correlation_id }.encode(&mut writer, body.api_key(), version);
    body.encode(&mut writer, version)?;
    writer.finish_frame()
}
