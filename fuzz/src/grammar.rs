//! Files of older versions of torch, put together from the bytes of an input: mostly right, so that
//! what is behind the first check is reached too.

/// The bytes of an input, taken one by one; zeros where there are no more.
#[derive(Debug)]
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&byte, rest)) => {
                self.0 = rest;
                byte
            }
            None => 0,
        }
    }

    /// Mostly a small number, and now and then one that is beyond all bounds.
    fn number(&mut self) -> i64 {
        match self.next() {
            n @ 0..=239 => i64::from(n % 12),
            240..=242 => -1,
            243..=245 => 1 << 31,
            246..=248 => 1 << 62,
            249..=251 => i64::MAX,
            _ => i64::from(self.next()) * 16,
        }
    }

    /// `usual`, and now and then another number.
    fn or(&mut self, usual: i64) -> i64 {
        match self.next() {
            0..=223 => usual,
            _ => self.number(),
        }
    }
}

/// The classes of storages, and how long an element is.
const CLASSES: [(&str, i64); 6] = [
    ("FloatStorage", 4),
    ("ByteStorage", 1),
    ("DoubleStorage", 8),
    ("BoolStorage", 1),
    ("ComplexFloatStorage", 8),
    ("QInt8Storage", 1),
];

/// A pickle that is being made.
#[derive(Debug, Default)]
struct Pickle(Vec<u8>);

impl Pickle {
    fn new(protocol: u8) -> Pickle {
        Pickle(vec![0x80, protocol % 6])
    }

    fn op(&mut self, bytes: &[u8]) -> &mut Pickle {
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Pickle {
        self.op(b"X").op(&(text.len() as u32).to_le_bytes()).op(text.as_bytes())
    }

    fn number(&mut self, n: i64) -> &mut Pickle {
        self.op(b"\x8a\x08").op(&n.to_le_bytes())
    }

    fn numbers(&mut self, numbers: &[i64]) -> &mut Pickle {
        self.op(b"(");
        for &n in numbers {
            self.number(n);
        }
        self.op(b"t")
    }

    fn end(mut self) -> Vec<u8> {
        self.0.push(b'.');
        self.0
    }
}

/// Sizes and strides, mostly those of C order.
fn dims(bytes: &mut Bytes<'_>) -> (Vec<i64>, Vec<i64>) {
    let shape: Vec<i64> = (0..bytes.next() % 4).map(|_| bytes.number()).collect();
    let mut step = 1i64;
    let mut stride: Vec<i64> = (shape.iter().rev())
        .map(|&n| {
            let own = bytes.or(step);
            step = step.saturating_mul(n.max(1));
            own
        })
        .collect();
    stride.reverse();
    (shape, stride)
}

/// A stream from before torch 1.6.
pub fn legacy(input: &[u8]) -> Vec<u8> {
    let mut bytes = Bytes(input);
    let bytes = &mut bytes;
    let protocol = bytes.next();
    // What each storage is, by its key: of a few kinds and lengths, so that mentions agree.
    let numel: Vec<i64> = (0..4).map(|_| bytes.number()).collect();
    let kinds: Vec<(&str, i64)> =
        (0..4).map(|_| CLASSES[usize::from(bytes.next()) % CLASSES.len()]).collect();
    let mut object = Pickle::new(protocol);
    object.op(b"](");
    for _ in 0..bytes.next() % 8 {
        let kind = bytes.next();
        if kind % 16 == 1 {
            object.op(b"(").text("module").op(b"cm\nC\n").text("m.py").text("class C: pass\n");
            object.op(b"tQ)\x81}b");
            continue;
        }
        if kind % 16 == 2 {
            // Any opcodes.
            let count = usize::from(bytes.next()) % 24;
            let raw: Vec<u8> = (0..count).map(|_| bytes.next()).collect();
            object.op(&raw);
            continue;
        }
        let key = usize::from(bytes.next()) % 4;
        let (class, _) = kinds[key];
        if kind % 16 != 3 {
            object.op(b"ctorch._utils\n_rebuild_tensor_v2\n(");
        }
        object.op(b"(").text("storage").op(format!("ctorch\n{class}\n").as_bytes());
        let count = bytes.or(numel[key]);
        object.text(&key.to_string()).text("cpu").number(count);
        match bytes.next() % 4 {
            0 => object.op(b"N"),
            1 => &mut object,
            _ => {
                let part = bytes.next() % 8;
                let (from, count) = (bytes.number(), bytes.number());
                object.op(b"(").text(&part.to_string()).number(from).number(count).op(b"t")
            }
        };
        object.op(b"tQ");
        if kind % 16 != 3 {
            let (shape, stride) = dims(bytes);
            let offset = bytes.number();
            object.number(offset).numbers(&shape).numbers(&stride).op(b"\x89NtR");
        }
        if kind & 0x80 != 0 {
            object.op(b"q\x01h\x01");
        }
    }
    object.op(b"e");

    let mut magic = Pickle::new(protocol);
    magic.op(b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19");
    let mut version = Pickle::new(protocol);
    version.number(bytes.or(1001));
    let mut info = Pickle::new(protocol);
    info.op(b"}");
    let mut keys = Pickle::new(protocol);
    keys.op(b"](");
    let mut listed = Vec::new();
    for key in 0..4usize {
        // Usually those that are mentioned.
        let mention = format!("X\x01\0\0\0{key}X\x03\0\0\0cpu");
        let is_there = object.0.windows(mention.len()).any(|w| w == mention.as_bytes());
        let key = match bytes.next() {
            0..=223 if is_there => key,
            0..=239 => continue,
            other => usize::from(other) % 4,
        };
        keys.text(&key.to_string());
        listed.push(key);
    }
    keys.op(b"e");
    let mut file = [magic, version, info, object, keys].map(Pickle::end).concat();
    for key in listed {
        let count = bytes.or(numel[key]);
        file.extend(count.to_le_bytes());
        let len = count.saturating_mul(kinds[key].1).clamp(0, 4096);
        file.extend((0..len).map(|i| (i % 251) as u8));
    }
    file.extend((0..bytes.next() / 250).map(|_| 0));
    file
}

/// A tar archive of torch 0.1.
pub fn tar(input: &[u8]) -> Vec<u8> {
    let mut bytes = Bytes(input);
    let bytes = &mut bytes;
    let protocol = bytes.next();
    let small = |n: i64| {
        let mut pickle = Pickle::new(protocol);
        pickle.number(n);
        pickle.end()
    };
    let mut storages = Vec::new();
    let count = i64::from(bytes.next() % 4);
    storages.extend(small(bytes.or(count)));
    for key in 0..count {
        let (class, size) = CLASSES[usize::from(bytes.next()) % CLASSES.len()];
        let mut entry = Pickle::new(protocol);
        entry.number(bytes.or(key)).text("cpu").op(format!("ctorch\n{class}\n").as_bytes());
        entry.op(b"\x87");
        storages.extend(entry.end());
        let numel = bytes.number();
        storages.extend(numel.to_le_bytes());
        let len = numel.saturating_mul(size).clamp(0, 4096);
        storages.extend((0..len).map(|i| (i % 251) as u8));
    }
    let mut parts = Pickle::new(protocol);
    parts.op(b"](");
    for key in 0..i64::from(bytes.next() % 3) {
        let of = bytes.next() % 8;
        parts.numbers(&[bytes.or(4 + key), of.into(), bytes.number(), bytes.number()]);
    }
    parts.op(b"e");
    storages.extend(parts.end());

    let mut tensors = Vec::new();
    let count = i64::from(bytes.next() % 4);
    tensors.extend(small(bytes.or(count)));
    for key in 0..count {
        let of = bytes.next() % 8;
        let mut entry = Pickle::new(protocol);
        entry.number(bytes.or(16 + key)).number(of.into()).op(b"ctorch\nFloatTensor\n\x87");
        tensors.extend(entry.end());
        let (shape, stride) = dims(bytes);
        tensors.extend((bytes.or(shape.len() as i64) as i32).to_le_bytes());
        tensors.extend([0; 4]);
        for n in shape.iter().chain(&stride) {
            tensors.extend(n.to_le_bytes());
        }
        tensors.extend(bytes.number().to_le_bytes());
    }

    let mut object = Pickle::new(protocol);
    object.op(b"](");
    for _ in 0..bytes.next() % 12 {
        match bytes.next() % 8 {
            0 => {
                let count = usize::from(bytes.next()) % 40;
                let raw: Vec<u8> = (0..count).map(|_| bytes.next()).collect();
                object.op(&raw);
            }
            1 => {
                object.op(b"(").op(b"cm\nC\n").text("m.py").text("class C: pass\n").op(b"tQ");
            }
            2 => {
                // A tensor of the table becomes another, and has a state.
                let key = 16 + bytes.next() % 4;
                object.op(format!("ctorch._utils\n_rebuild_parameter\n(P{key}\n").as_bytes());
                object.op(b"\x88NtR}b");
            }
            _ => {
                let key = match bytes.next() {
                    n @ 0..=127 => 16 + n % 4,
                    n => n % 8,
                };
                object.op(format!("P{key}\n").as_bytes());
            }
        }
    }
    object.op(b"e");

    // A member sys_info is not asked for.
    let members = [("storages", storages), ("tensors", tensors), ("pickle", object.end())];
    let mut file = Vec::new();
    for (name, content) in &members {
        let kind = if bytes.next() > 250 { bytes.next() } else { b'0' };
        let len = bytes.or(content.len() as i64);
        file.extend(header(name, len as u64 & 0o7_7777_7777, kind));
        file.extend(content);
        file.resize(file.len().next_multiple_of(512), 0);
    }
    file
}

/// A header of ustar.
fn header(name: &str, len: u64, kind: u8) -> [u8; 512] {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..136].copy_from_slice(format!("{len:011o}\0").as_bytes());
    header[148..156].fill(b' ');
    header[156] = kind;
    header[257..263].copy_from_slice(b"ustar\0");
    let sum: u64 = header.iter().map(|&b| u64::from(b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}
