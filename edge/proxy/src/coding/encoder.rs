//! The encoders: bytes in, coded bytes out, in steps that end.

use std::fmt;
use std::io::{self, Write as _};

use breakwater_edge_cache::Held;
use brotli::enc::StandardAlloc;
use brotli::enc::encode::{BrotliEncoderOperation, BrotliEncoderParameter, BrotliEncoderStateStruct};
use bytes::Bytes;
use flate2::write::GzEncoder;
use zstd::stream::raw::CParameter;
use zstd::stream::write::Encoder as ZstdEncoder;

use super::Coding;

/// Most bytes that are taken at once: what the encoders need for them keeps a core busy for about a millisecond.
pub(crate) const STEP_BYTES: usize = 32 << 10;

/// Levels at which each coding is about as fast as origins send, and most of what it can do is done.
const BROTLI_QUALITY: u32 = 5;
const ZSTD_LEVEL: i32 = 3;
const GZIP_LEVEL: u32 = 6;
/// Windows of 128 KiB and 512 KiB: larger ones help few bodies and cost every encoder. At this quality Brotli's
/// encoder takes 33 MiB with a smaller one, and a tenth of the speed. RFC 9659 allows Zstandard 8 MiB.
const BROTLI_WINDOW_LOG: u32 = 17;
const ZSTD_WINDOW_LOG: u32 = 19;

/// Space for what one call to the encoder gives.
const OUTPUT_BYTES: usize = 16 << 10;

/// An encoder for one body, with its memory charged.
pub(crate) struct Encoder {
    engine: Engine,
    /// Bytes went in since the last flush.
    pending: bool,
    _held: Option<Held>,
}

enum Engine {
    Brotli(Box<Brotli>),
    Zstd(ZstdEncoder<'static, Vec<u8>>),
    Gzip(GzEncoder<Vec<u8>>),
}

struct Brotli {
    state: BrotliEncoderStateStruct<StandardAlloc>,
    out: Vec<u8>,
}

impl Encoder {
    /// What an encoder takes, bytes, at most: 3.8 MiB, 2.0 MiB and 435 KiB were measured with long bodies.
    pub(crate) const fn memory_bytes(coding: Coding) -> usize {
        match coding {
            Coding::Brotli => 4 << 20,
            Coding::Zstd => (2 << 20) + (256 << 10),
            Coding::Gzip => 448 << 10,
        }
    }

    /// An encoder whose memory is `held`.
    pub(crate) fn new(coding: Coding, held: Option<Held>) -> io::Result<Self> {
        let engine = match coding {
            Coding::Brotli => {
                let mut state = BrotliEncoderStateStruct::new(StandardAlloc::default());
                state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_QUALITY, BROTLI_QUALITY);
                state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_LGWIN, BROTLI_WINDOW_LOG);
                let out = Vec::new();
                Engine::Brotli(Box::new(Brotli { state, out }))
            }
            Coding::Zstd => {
                let mut encoder = ZstdEncoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.set_parameter(CParameter::WindowLog(ZSTD_WINDOW_LOG))?;
                Engine::Zstd(encoder)
            }
            Coding::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                Engine::Gzip(GzEncoder::new(Vec::new(), level))
            }
        };
        Ok(Self {
            engine,
            pending: false,
            _held: held,
        })
    }

    /// Takes a part of the body, and gives what is ready of the coded one.
    pub(crate) fn write(&mut self, part: &[u8]) -> io::Result<Bytes> {
        self.pending |= !part.is_empty();
        match &mut self.engine {
            Engine::Brotli(brotli) => brotli.run(BrotliEncoderOperation::BROTLI_OPERATION_PROCESS, part)?,
            Engine::Zstd(zstd) => zstd.write_all(part)?,
            Engine::Gzip(gzip) => gzip.write_all(part)?,
        }
        Ok(self.take())
    }

    /// Whether a reader waits for bytes that went in.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending
    }

    /// Gives everything that went in so far.
    pub(crate) fn flush(&mut self) -> io::Result<Bytes> {
        self.pending = false;
        match &mut self.engine {
            Engine::Brotli(brotli) => brotli.run(BrotliEncoderOperation::BROTLI_OPERATION_FLUSH, &[])?,
            Engine::Zstd(zstd) => zstd.flush()?,
            Engine::Gzip(gzip) => gzip.flush()?,
        }
        Ok(self.take())
    }

    /// The end of the coded body.
    pub(crate) fn finish(mut self) -> io::Result<Bytes> {
        match &mut self.engine {
            Engine::Brotli(brotli) => brotli.run(BrotliEncoderOperation::BROTLI_OPERATION_FINISH, &[])?,
            Engine::Zstd(zstd) => zstd.do_finish()?,
            Engine::Gzip(gzip) => gzip.try_finish()?,
        }
        Ok(self.take())
    }

    fn take(&mut self) -> Bytes {
        let out = match &mut self.engine {
            Engine::Brotli(brotli) => &mut brotli.out,
            Engine::Zstd(zstd) => zstd.get_mut(),
            Engine::Gzip(gzip) => gzip.get_mut(),
        };
        // The bytes are kept for as long as the entry: no more room than they need.
        let ready = Bytes::copy_from_slice(out);
        out.clear();
        ready
    }
}

impl Brotli {
    /// Runs until all of `input` was taken, and for a flush or the end until all of it came out.
    fn run(&mut self, operation: BrotliEncoderOperation, input: &[u8]) -> io::Result<()> {
        let mut left = input.len();
        let mut taken = 0;
        let finishing = matches!(operation, BrotliEncoderOperation::BROTLI_OPERATION_FINISH);
        loop {
            let before = self.out.len();
            self.out.resize(before + OUTPUT_BYTES, 0);
            let (mut room, mut written) = (OUTPUT_BYTES, 0);
            let space = self.out.get_mut(before..).unwrap_or_default();
            let fine = self.state.compress_stream(
                operation,
                &mut left,
                input,
                &mut taken,
                &mut room,
                space,
                &mut written,
                &mut None,
                &mut |_, _, _, _| (),
            );
            self.out.truncate(before + written);
            if !fine {
                return Err(io::Error::other("brotli: the encoder refuses its input"));
            }
            let done = if finishing {
                self.state.is_finished()
            } else {
                left == 0 && !self.state.has_more_output()
            };
            if done {
                return Ok(());
            }
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let coding = match self.engine {
            Engine::Brotli(_) => Coding::Brotli,
            Engine::Zstd(_) => Coding::Zstd,
            Engine::Gzip(_) => Coding::Gzip,
        };
        f.debug_tuple("Encoder").field(&coding).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    fn decoded(coding: Coding, coded: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            Coding::Brotli => brotli::Decompressor::new(coded, 4096)
                .read_to_end(&mut out)
                .unwrap(),
            Coding::Zstd => {
                // What browsers take (RFC 9659).
                let mut decoder = zstd::stream::read::Decoder::new(coded).unwrap();
                decoder.window_log_max(23).unwrap();
                decoder.read_to_end(&mut out).unwrap()
            }
            Coding::Gzip => flate2::read::GzDecoder::new(coded).read_to_end(&mut out).unwrap(),
        };
        out
    }

    fn coding() -> impl Strategy<Value = Coding> {
        prop::sample::select(vec![Coding::Brotli, Coding::Zstd, Coding::Gzip])
    }

    /// Pieces of text that repeats, of noise, and of nothing.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            Just(Vec::new()),
            (1_usize..3_000).prop_map(|times| b"breakwater ".repeat(times)),
            prop::collection::vec(any::<u8>(), 1..2_000),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn what_was_coded_is_decoded_however_it_was_cut(
            coding in coding(),
            pieces in prop::collection::vec((piece(), any::<bool>()), 0..8),
        ) {
            let mut encoder = Encoder::new(coding, None).unwrap();
            let (mut coded, mut whole) = (Vec::new(), Vec::new());
            for (piece, flush) in pieces {
                whole.extend_from_slice(&piece);
                coded.extend_from_slice(&encoder.write(&piece).unwrap());
                if flush {
                    coded.extend_from_slice(&encoder.flush().unwrap());
                    prop_assert!(!encoder.is_pending());
                }
            }
            coded.extend_from_slice(&encoder.finish().unwrap());
            prop_assert_eq!(decoded(coding, &coded), whole);
        }
    }

    #[test]
    fn a_flush_gives_all_that_went_in() {
        for coding in [Coding::Brotli, Coding::Zstd, Coding::Gzip] {
            let mut encoder = Encoder::new(coding, None).unwrap();
            let mut coded = encoder.write(b"first").unwrap().to_vec();
            coded.extend_from_slice(&encoder.flush().unwrap());
            let mut told = [0; 5];
            match coding {
                Coding::Brotli => brotli::Decompressor::new(&coded[..], 64).read_exact(&mut told),
                Coding::Zstd => zstd::stream::read::Decoder::new(&coded[..])
                    .unwrap()
                    .read_exact(&mut told),
                Coding::Gzip => flate2::read::GzDecoder::new(&coded[..]).read_exact(&mut told),
            }
            .unwrap();
            assert_eq!(&told, b"first", "{coding:?}");
        }
    }
}
