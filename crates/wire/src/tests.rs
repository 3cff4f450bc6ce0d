//! Tests over all messages.
#[derive(Debug)]
pub(crate) struct Dice {
    state: u64,
}
impl Dice {
    pub(crate) fn length(&mut self, _: bool) -> Option<usize> {
        None
    }
    pub(crate) fn text(&mut self, _: usize) -> String {
        String::new()
    }
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        self.state = 1;
        [0; N]
    }
    pub(crate) fn tags(&mut self) -> Vec<u32> {
        Vec::new()
    }
}
