//! How the bytes of a client's or a broker's connection come and go. Whatever is spoken beneath them is decided here and nowhere else: TLS is to be one more variant
//! (docs/decisions/0009).

use std::{
    fs::File,
    io::{self, IoSlice, Read, Write},
    net::{Shutdown, SocketAddr},
    os::fd::AsFd,
};

use mio::{Interest, Registry, Token, event::Source, net::TcpStream};
use rustix::net::{SendAncillaryBuffer, SendFlags};

/// A socket that never blocks.
#[derive(Debug)]
pub(crate) enum Socket {
    /// The bytes themselves.
    Plain(TcpStream),
}

impl Socket {
    /// Begins to connect.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        TcpStream::connect(address).map(Self::Plain)
    }

    /// What is beneath: addresses, options, errors. Nobody reads or writes by it.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
        }
    }

    /// Sends some of it. If more comes right behind, it may wait to share its packets.
    pub(crate) fn send(&mut self, slices: &[IoSlice<'_>], more_comes: bool) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) if more_comes => {
                let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
                Ok(rustix::net::sendmsg(tcp, slices, &mut SendAncillaryBuffer::default(), flags)?)
            }
            Self::Plain(tcp) => tcp.write_vectored(slices),
        }
    }

    /// Sends some of a file's range, without a copy where that can be. Nothing is sent where the file ends before it.
    pub(crate) fn send_file(&mut self, file: &File, mut position: u64, size: usize) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => Ok(rustix::fs::sendfile(tcp, file, Some(&mut position), size)?),
        }
    }

    /// Sends all of it, for which there has to be room.
    pub(crate) fn send_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.write_all(bytes),
        }
    }

    /// Nothing more is sent: the other end reads what was, and then that this is all.
    pub(crate) fn end_sending(&self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.shutdown(Shutdown::Write),
        }
    }

    /// The socket once more, for whoever goes on with it elsewhere. The poll must not know this one any more.
    pub(crate) fn hand_over(&self) -> io::Result<std::net::TcpStream> {
        match self {
            Self::Plain(tcp) => Ok(tcp.as_fd().try_clone_to_owned()?.into()),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
        }
    }
}

impl Source for Socket {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.register(registry, token, interests),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.reregister(registry, token, interests),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.deregister(registry),
        }
    }
}
