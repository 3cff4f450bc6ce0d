//! Finding the positions of a plan.
use std::{io, ops::Range};

use klamm_model::{Offset, Timestamp};

use crate::disk::{FileKind, SegmentId};
use crate::error::ReadError;
use crate::plan::{ReadPlan, TimeLookup};

/// Positions
#[allow(clippy::unimplemented)]
pub fn resolve(_plan: &ReadPlan, _read: &mut dyn FnMut(FileKind, u64, &mut [u8]) -> io::Result<usize>) -> Result<Range<u32>, ReadError> { unimplemented!() }
/// Time
#[allow(clippy::unimplemented)]
pub fn resolve_time(_lookup: &TimeLookup, _read: &mut dyn FnMut(SegmentId, FileKind, u64, &mut [u8]) -> io::Result<usize>) -> Result<Option<(Offset, Timestamp)>, ReadError> { unimplemented!() }
