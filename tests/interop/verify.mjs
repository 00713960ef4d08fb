// A second, independent implementation of docs/spec: plain JavaScript and WebCrypto, Node 20 or newer.
//
//   node verify.mjs vectors FOLDER          checks the shared vectors
//   node verify.mjs bundle POLICY [--questions SET]… BUNDLE…
//                                           verifies bundles against a policy file; the words of a published
//                                           question are compared if the file of its set is given
//
// Prints one JSON object; exit status 0 when everything held, 3 when something did not.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const concat = (...parts) => Uint8Array.from(Buffer.concat(parts.map((part) => Buffer.from(part))));
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const unhex = (text) => Uint8Array.from(Buffer.from(text, "hex"));
const base64 = (bytes) => Buffer.from(bytes).toString("base64");
const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
const same = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)) === 0;

class Refused extends Error {}
function require_(condition, why) {
  if (!condition) throw new Refused(why);
}

// Spec/encoding 3: exactly one text for each byte string.
function unbase64(text, length) {
  require_(typeof text === "string", "base64: not text");
  const bytes = Uint8Array.from(Buffer.from(text, "base64"));
  require_(base64(bytes) === text, "base64: not canonical");
  require_(length === undefined || bytes.length === length, "base64: wrong length");
  return bytes;
}

// Spec/encoding 1: a reader of its own, since JSON.parse forgives duplicate members and large numbers.
function parseJson(bytes, { depthMax = 16, bytesMax = 1_048_576 } = {}) {
  require_(bytes.length <= bytesMax, "json: too large");
  let text;
  try {
    text = strictUtf8.decode(bytes);
  } catch {
    throw new Refused("json: not UTF-8");
  }
  let at = 0;
  const space = () => { while (at < text.length && " \t\n\r".includes(text[at])) at++; };
  const expect = (token) => { require_(text.startsWith(token, at), `json: expected ${token}`); at += token.length; };
  const pattern = (regex, what) => {
    regex.lastIndex = at;
    const match = regex.exec(text);
    require_(match, `json: not a ${what}`);
    at += match[0].length;
    return match[0];
  };
  const string = () => {
    const parsed = JSON.parse(pattern(/"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y, "string"));
    require_(parsed.isWellFormed(), "json: a lone surrogate");
    return parsed;
  };
  const number = () => {
    const parsed = Number(pattern(/-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y, "number"));
    require_(Math.abs(parsed) <= Number.MAX_SAFE_INTEGER, "json: a number out of range");
    return parsed;
  };
  const items = (open, close, depth, item) => {
    require_(depth <= depthMax, "json: too deep");
    expect(open);
    space();
    if (text[at] === close) return void at++;
    for (;;) {
      space();
      item();
      space();
      if (text[at] === close) return void at++;
      expect(",");
    }
  };
  const value = (depth) => {
    if (text[at] === "{") {
      const object = new Map();
      items("{", "}", depth, () => {
        const name = string();
        require_(!object.has(name), "json: a member twice");
        space();
        expect(":");
        space();
        object.set(name, value(depth + 1));
      });
      return Object.assign(Object.create(null), Object.fromEntries(object));
    }
    if (text[at] === "[") {
      const array = [];
      items("[", "]", depth, () => array.push(value(depth + 1)));
      return array;
    }
    if (text[at] === '"') return string();
    for (const [word, meaning] of [["true", true], ["false", false], ["null", null]])
      if (text.startsWith(word, at)) { at += word.length; return meaning; }
    return number();
  };
  space();
  const parsed = value(1);
  space();
  require_(at === text.length, "json: something follows");
  return parsed;
}

// Spec/encoding 6: an object has the members that are named and no others.
function requireMembers(value, names, what) {
  const isObject = value !== null && typeof value === "object" && !Array.isArray(value);
  require_(isObject && Object.keys(value).sort().join() === [...names].sort().join(), `${what}: members`);
}

// Spec/encoding 2: RFC 8785. JavaScript's own number and string forms are the standard's.
function canonicalText(value) {
  if (Array.isArray(value)) return `[${value.map(canonicalText).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const names = Object.keys(value).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonicalText(value[name])}`).join(",")}}`;
}
const canonical = (value) => utf8.encode(canonicalText(value));
function parseCanonical(bytes) {
  const value = parseJson(bytes);
  require_(same(canonical(value), bytes), "not the canonical form");
  return value;
}

// Spec/keys 2: the one rule set for signatures.
const P = 2n ** 255n - 19n;
const L = 2n ** 252n + 27742317777372353535851937790883648493n;
const Y8 = 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n;
const SMALL_ORDER_Y = new Set([0n, 1n, P - 1n, Y8, P - Y8]);
const littleEndian = (bytes) => BigInt(`0x${hex(Uint8Array.from(bytes).reverse())}`);
function isStrongPoint(encoded) {
  const y = littleEndian(encoded) & (2n ** 255n - 1n);
  return y < P && !SMALL_ORDER_Y.has(y);
}
async function verifySignature(publicKey, signature, message) {
  require_(publicKey.length === 32 && signature.length === 64, "signature: wrong length");
  require_(littleEndian(signature.slice(32)) < L, "signature: S is not reduced");
  require_(isStrongPoint(publicKey) && isStrongPoint(signature.slice(0, 32)), "signature: a weak point");
  const key = await crypto.subtle.importKey("raw", publicKey, "Ed25519", false, ["verify"]);
  require_(await crypto.subtle.verify("Ed25519", key, signature, message), "signature: does not hold");
}
const fingerprint = async (key) => `SHA256:${base64(await sha256(key)).replace(/=+$/, "")}`;
function base32(bytes) {
  let bits = "";
  for (const byte of bytes) bits += byte.toString(2).padStart(8, "0");
  return (bits.match(/.{5}/g) ?? []).map((five) => "abcdefghijklmnopqrstuvwxyz234567"[parseInt(five, 2)]).join("");
}
const hiveId = async (key) => `hive_${base32(await sha256(key)).slice(0, 26)}`;

// Spec/signing.
const domainMessage = (domain, value) => concat(utf8.encode(`hivemark.dev/${domain}/v1\n`), canonical(value));
const commit = async (salt, content) => hex(await sha256(concat(salt, content)));
async function verifyJobSpec(raw) {
  const { signature, ...rest } = parseJson(raw);
  const message = domainMessage("jobspec", rest);
  await verifySignature(unbase64(rest.public_key, 32), unbase64(signature, 64), message);
  return { value: rest, specSha256: hex(await sha256(message)) };
}

// Spec/statements 1 and 2.
function pae(type, payload) {
  const kind = utf8.encode(type);
  return concat(utf8.encode(`DSSEv1 ${kind.length} `), kind, utf8.encode(` ${payload.length} `), payload);
}
function readEnvelope(envelope) {
  requireMembers(envelope, ["payload", "payloadType", "signatures"], "envelope");
  require_(Array.isArray(envelope.signatures) && envelope.signatures.length === 1, "envelope: one signature");
  requireMembers(envelope.signatures[0], ["keyid", "sig"], "envelope signature");
  return { payload: unbase64(envelope.payload), signature: unbase64(envelope.signatures[0].sig, 64) };
}
async function verifyStatement(envelope, key, predicateType) {
  const { payload, signature } = readEnvelope(envelope);
  require_(envelope.payloadType === "application/vnd.in-toto+json", "envelope: payload type");
  require_(envelope.signatures[0].keyid === (await fingerprint(key)), "envelope: another key");
  await verifySignature(key, signature, pae(envelope.payloadType, payload));
  const statement = parseCanonical(payload);
  require_(statement._type === "https://in-toto.io/Statement/v1", "statement: type");
  require_(statement.predicateType === `https://hivemark.dev/predicate/${predicateType}/v1`, "statement: predicate");
  return { predicate: statement.predicate, subject: statement.subject[0] };
}

// Spec/log 1: RFC 9162 2.1.3.2 and 2.1.4.2.
const leafHash = (entry) => sha256(concat([0], entry));
const nodeHash = (left, right) => sha256(concat([1], left, right));
async function verifyInclusion(leaf, index, size, proof, root) {
  require_(index >= 0 && index < size, "inclusion: index");
  let [fn, sn, r] = [BigInt(index), BigInt(size) - 1n, leaf];
  for (const p of proof) {
    require_(sn !== 0n, "inclusion: too long");
    if (fn & 1n || fn === sn) {
      r = await nodeHash(p, r);
      while (fn !== 0n && !(fn & 1n)) { fn >>= 1n; sn >>= 1n; }
    } else r = await nodeHash(r, p);
    fn >>= 1n;
    sn >>= 1n;
  }
  require_(sn === 0n && same(r, root), "inclusion: another root");
}
async function verifyConsistency(first, firstRoot, second, secondRoot, proof) {
  require_(first > 0 && first <= second, "consistency: sizes");
  if (first === second) return require_(proof.length === 0 && same(firstRoot, secondRoot), "consistency: roots");
  require_(proof.length > 0, "consistency: empty");
  let [fn, sn] = [BigInt(first) - 1n, BigInt(second) - 1n];
  const path = ((fn + 1n) & fn) === 0n ? [firstRoot, ...proof] : proof;
  while (fn & 1n) { fn >>= 1n; sn >>= 1n; }
  let fr = path[0], sr = path[0];
  for (const c of path.slice(1)) {
    require_(sn !== 0n, "consistency: too long");
    if (fn & 1n || fn === sn) {
      fr = await nodeHash(c, fr);
      sr = await nodeHash(c, sr);
      while (fn !== 0n && !(fn & 1n)) { fn >>= 1n; sn >>= 1n; }
    } else sr = await nodeHash(sr, c);
    fn >>= 1n;
    sn >>= 1n;
  }
  require_(sn === 0n && same(fr, firstRoot) && same(sr, secondRoot), "consistency: roots");
}

// Spec/log 4 and 5.
async function parseVkey(text) {
  const [, name, id, rest] = /^([^+\s]+)\+([0-9a-f]{8})\+(.+)$/.exec(text) ?? [];
  require_(name, "vkey: form");
  const blob = unbase64(rest, 33);
  require_(hex((await sha256(concat(utf8.encode(`${name}\n`), blob))).slice(0, 4)) === id, "vkey: key id");
  return { name, id, type: blob[0], key: blob.slice(1) };
}
const isKeyName = (name) => !/[+\u0085\s]/.test(name.replaceAll("\ufeff", "")); // white space as Unicode has it
async function verifyNote(raw, known) {
  const cut = raw.lastIndexOf("\n\n");
  require_(cut >= 0 && raw.endsWith("\n") && !/[\x00-\x09\x0b-\x1f]/.test(raw), "note: form");
  const text = raw.slice(0, cut + 1);
  const signers = [];
  const lines = raw.slice(cut + 2, -1).split("\n");
  require_(lines.length <= 100 && utf8.encode(raw).length <= 1_048_576, "note: too large");
  for (const line of lines) {
    const [, name, encoded] = /^\u2014 ([^ ]+) (.+)$/u.exec(line) ?? [];
    require_(name && isKeyName(name), "note: signature line");
    const blob = unbase64(encoded);
    require_(blob.length > 4, "note: signature line");
    const key = known.find((k) => k.name === name && k.id === hex(blob.slice(0, 4)));
    if (!key) continue; // unknown keys are ignored
    if (key.type === 4) {
      const seconds = Buffer.from(blob.slice(4, 12)).readBigUInt64BE();
      const message = utf8.encode(`cosignature/v1\ntime ${seconds}\n${text}`);
      await verifySignature(key.key, blob.slice(12), message);
    } else await verifySignature(key.key, blob.slice(4), utf8.encode(text));
    if (!signers.includes(key)) signers.push(key);
  }
  return { text, signers };
}
function parseCheckpoint(text) {
  const lines = text.split("\n");
  require_(lines.length >= 4 && lines.pop() === "" && !lines.includes(""), "checkpoint: lines");
  require_(/^(0|[1-9][0-9]*)$/.test(lines[1]) && BigInt(lines[1]) < 2n ** 63n, "checkpoint: size");
  const root = unbase64(lines[2], 32);
  require_(lines[1] !== "0" || base64(root) === "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "checkpoint: root");
  return { origin: lines[0], size: Number(lines[1]), root };
}
function parseProof(text) {
  const cut = text.indexOf("\n\n");
  require_(cut >= 0, "proof: no checkpoint");
  const lines = text.slice(0, cut).split("\n");
  require_(lines.shift() === "c2sp.org/tlog-proof@v1", "proof: version");
  if (lines[0]?.startsWith("extra ")) unbase64(lines.shift().slice(6));
  const [, index] = /^index (0|[1-9][0-9]*)$/.exec(lines.shift() ?? "") ?? [];
  require_(index !== undefined, "proof: index");
  return { index: Number(index), hashes: lines.map((line) => unbase64(line, 32)), note: text.slice(cut + 2) };
}

// Spec/policy.
async function parsePolicy(text) {
  require_(text.startsWith("# hivemark-policy v1\n") && text.endsWith("\n"), "policy: header");
  require_(!/[\x00-\x08\x0b-\x1f\x7f]/.test(text), "policy: control character");
  const policy = { logs: [], witnesses: [], groups: [], quorum: undefined, service: undefined };
  const defined = new Set();
  const members = new Set();
  const define = (name) => { require_(name && name !== "none" && !defined.has(name), "policy: name"); defined.add(name); };
  const key = async (list, vkey, type) => {
    const parsed = await parseVkey(vkey ?? "");
    require_(parsed.type === type && !list.some((other) => same(other.key, parsed.key)), "policy: key");
    return parsed;
  };
  for (const line of text.slice(0, -1).split("\n")) {
    if (line.startsWith("# hivemark-service ")) {
      const [network, serviceKey, ...more] = line.slice(19).split(" ");
      require_(!policy.service && more.length === 0 && network, "policy: service");
      policy.service = { network, key: unbase64(serviceKey, 32) };
    }
    const items = line.replace(/^[ \t]+|[ \t]+$/g, "").split(/[ \t]+/);
    if (items[0] === "" || items[0].startsWith("#")) continue;
    if (items[0] === "log") policy.logs.push(await key(policy.logs, items[1], 1));
    else if (items[0] === "witness") {
      define(items[1]);
      policy.witnesses.push({ ...(await key(policy.witnesses, items[2], 4)), label: items[1] });
    } else if (items[0] === "group") {
      const [, name, rule, ...list] = items;
      for (const member of list) {
        require_(defined.has(member) && !members.has(member), "policy: member");
        members.add(member);
      }
      define(name);
      const threshold = { any: 1, all: list.length }[rule] ?? (/^[1-9][0-9]*$/.test(rule) ? Number(rule) : 0);
      require_(threshold >= 1 && threshold <= list.length, "policy: threshold");
      policy.groups.push({ name, threshold, list });
    } else {
      require_(items[0] === "quorum" && items.length === 2 && policy.quorum === undefined, "policy: line");
      require_(items[1] === "none" || defined.has(items[1]), "policy: quorum");
      policy.quorum = items[1];
    }
  }
  require_(policy.service && policy.quorum !== undefined && policy.logs.length > 0, "policy: incomplete");
  return policy;
}
function isSatisfied(policy, names) {
  const satisfied = new Set(["none", ...names]);
  for (const group of policy.groups)
    if (group.list.filter((member) => satisfied.has(member)).length >= group.threshold) satisfied.add(group.name);
  return satisfied.has(policy.quorum);
}

// A published set is known by the digest of its content.
async function parseQuestionSet(bytes) {
  const value = parseJson(bytes);
  return [hex(await sha256(canonical(value))), new Map(value.questions.map(({ id, text }) => [id, text]))];
}

// Spec/verify 2.
const DISCLOSED = { request: "value", output: "text", token_ids: "value" };
async function verifyBundle(bytes, policy, sets = new Map()) {
  const bundle = parseJson(bytes, { depthMax: 32, bytesMax: 16_777_216 });
  requireMembers(bundle, ["bundle", "spec", "entry", "entry_salt", "proof", "disclosed"], "bundle");
  require_(bundle.bundle === "hivemark.dev/bundle/v1", "bundle: version");
  require_(typeof bundle.proof === "string", "bundle: proof");
  const parts = { ...DISCLOSED, ...("delivered" in bundle.disclosed ? { delivered: "text" } : {}) };
  requireMembers(bundle.disclosed, Object.keys(parts), "disclosed");
  for (const [name, content] of Object.entries(parts))
    if (bundle.disclosed[name] !== null) requireMembers(bundle.disclosed[name], [content, "salt"], `disclosed.${name}`);
  const entryBytes = unbase64(bundle.entry);
  const entry = parseCanonical(entryBytes); // 2.1
  requireMembers(entry, ["v", "acceptance", "receipt"], "entry");
  require_(entry.v === 1, "entry: version");
  let logged = entryBytes;
  if (bundle.entry_salt !== null) {
    const commitment = await commit(unbase64(bundle.entry_salt, 32), entryBytes);
    logged = canonical({ v: 1, private: commitment });
  }
  const proof = parseProof(bundle.proof);
  const note = await verifyNote(proof.note, [...policy.logs, ...policy.witnesses]);
  const checkpoint = parseCheckpoint(note.text);
  await verifyInclusion(await leafHash(logged), proof.index, checkpoint.size, proof.hashes, checkpoint.root); // 2.2
  require_(note.signers.some((k) => policy.logs.includes(k) && k.name === checkpoint.origin), "checkpoint: log"); // 2.3
  const cosigners = note.signers.filter((k) => policy.witnesses.includes(k)).map((k) => k.label);
  require_(isSatisfied(policy, cosigners), "checkpoint: quorum");
  const { predicate: acceptance } = await verifyStatement(entry.acceptance, policy.service.key, "acceptance"); // 2.4
  require_(acceptance.network === policy.service.network, "acceptance: network");
  const hiveKey = unbase64(acceptance.hive.public_key, 32);
  require_(acceptance.hive.id === (await hiveId(hiveKey)), "acceptance: hive id");
  const digest = entry.receipt === null ? null : hex(await sha256(canonical(entry.receipt))); // 2.5
  require_(digest === acceptance.receipt_sha256, "receipt: another one was accepted");
  let receipt = null;
  if (entry.receipt !== null) {
    const statement = await verifyStatement(entry.receipt, hiveKey, "receipt");
    receipt = statement.predicate;
    const subject = receipt.commitments.output ?? receipt.grant_sha256;
    require_(statement.subject.digest.sha256 === subject, "receipt: subject");
    for (const name of ["network", "job", "execution", "attempt", "hive", "grant_sha256"]) // 2.6
      require_(canonicalText(receipt[name]) === canonicalText(acceptance[name]), `statements: ${name}`);
    require_(receipt.region.claimed === acceptance.region.claimed, "statements: region");
    if (acceptance.outcome === "accepted" && acceptance.delivered !== null)
      require_(acceptance.delivered.commitment === receipt.commitments.output, "statements: output");
  }
  const spec = bundle.spec === null ? null : await requireSpec(unbase64(bundle.spec), acceptance, receipt); // 2.7
  const question = await requireDisclosed(bundle.disclosed, spec, acceptance, receipt, sets); // 2.8
  const { outcome, execution } = acceptance;
  return { outcome, execution, index: proof.index, size: checkpoint.size, question };
}
async function requireSpec(raw, acceptance, receipt) {
  const { value, specSha256 } = await verifyJobSpec(raw);
  require_(hex(await sha256(raw)) === acceptance.spec.received_sha256, "spec: other bytes were posted");
  require_(specSha256 === acceptance.spec.sha256, "spec: another request");
  const { allow = [], deny = [] } = value.constraints?.providers ?? {};
  const hive = acceptance.hive.id;
  require_(!deny.includes(hive) && (allow.length === 0 || allow.includes(hive)), "spec: provider");
  if (receipt === null) return value;
  const named = (list, member) => (list ?? []).map((item) => (typeof item === "string" ? { [member]: item } : item));
  const benchmark = value.benchmark.name ?? value.benchmark;
  require_((benchmark === "openai") === (value.request !== undefined), "spec: request");
  if (receipt.question !== null) {
    require_(benchmark !== "openai", "spec: a question in a call");
    const asked = named(value.questions, "id").find((question) => question.id === receipt.question.id);
    require_(asked && (asked.text == null) === (receipt.question.set_sha256 !== null), "spec: question");
  } else require_(["noop", "openai"].includes(benchmark), "spec: no question");
  if (receipt.model !== null) {
    const asked = named(value.models, "name").find((model) => model.name === receipt.model.name);
    require_(asked && (asked.digest ?? receipt.model.weights_sha256) === receipt.model.weights_sha256, "spec: model");
  }
  const sampling = { temperature: 0, top_p: 1, max_tokens: 256, stop: [], ...value.execution?.sampling };
  require_(canonicalText(sampling) === canonicalText(receipt.sampling), "spec: sampling");
  const space = 2n ** 53n;
  const repeat = (BigInt(receipt.seed) - BigInt(value.execution?.seed ?? 0) + space) % space;
  require_(repeat < BigInt(value.runs ?? 1), "spec: seed");
  const places = value.constraints?.regions?.length ? value.constraints.regions : [null];
  const arms = value.execution?.arms?.length ? value.execution.arms : [{}];
  const allowed = arms.flatMap((arm) => (arm.region == null ? places : [arm.region]));
  require_(allowed.includes(null) || allowed.includes(receipt.region.claimed), "spec: region");
  return value;
}
// Says whether the words of the question were compared; words that differ are refused.
function requireWords(spec, asked, messages, sets) {
  if (asked === null) return "none";
  const set = sets.get(asked.set_sha256);
  if (asked.set_sha256 !== null && !set) return "not compared: its set is not known here";
  if (asked.set_sha256 === null && !spec) return "not compared: without the request";
  const text = set ? set.get(asked.id) : spec.questions.find((question) => question.id === asked.id).text;
  require_(text !== undefined, "disclosed: a question that its set does not have");
  const user = { role: "user", content: text };
  const personas = spec?.execution?.personas ?? [];
  const lists = personas.length ? personas.map(({ system }) => [{ role: "system", content: system }, user]) : [[user]];
  const put = spec ? messages : Array.isArray(messages) && messages.slice(-1);
  const expected = spec ? lists : [[user]];
  require_(expected.some((list) => canonicalText(list) === canonicalText(put)), "disclosed: another question");
  return "compared";
}
async function requireDisclosed(disclosed, spec, acceptance, receipt, sets) {
  const { request, output, token_ids: tokenIds, delivered } = disclosed;
  require_(receipt !== null || (!request && !output && !tokenIds), "disclosed: nothing commits to it");
  const require = async (commitment, shown, content) =>
    require_(commitment === (await commit(unbase64(shown.salt, 32), content)), "disclosed: other bytes");
  if (delivered) await requireGiven(delivered, output, acceptance, receipt);
  // Of a call the body is with whoever asked: the rest of its request stands there for him to fill in.
  const isShown = request && request.value !== null && (!request.value.call || "body" in request.value.call);
  if (isShown) await require(receipt.commitments.request, request, canonical(request.value));
  let question = "not disclosed";
  if (isShown && request.value.call) await requireCall(request.value, spec, receipt);
  else if (isShown) question = requireWords(spec, receipt.question, request.value?.messages ?? null, sets);
  if (tokenIds && tokenIds.value !== null)
    await require(receipt.commitments.token_ids, tokenIds, canonical(tokenIds.value));
  if (!output || output.text === null) return question;
  const text = utf8.encode(output.text);
  await require(receipt.commitments.output, output, text);
  for (const prefix of receipt.commitments.prefixes) {
    require_(prefix.bytes <= text.length, "disclosed: prefix");
    await require(prefix.commitment, output, text.slice(0, prefix.bytes));
  }
  if (acceptance.outcome === "accepted" && acceptance.delivered !== null)
    require_(acceptance.delivered.bytes === text.length, "disclosed: length");
  return question;
}

// Spec/jobspec 6: the body is the one that the signer committed to.
async function requireCall({ call, model, seed }, spec, receipt) {
  require_(receipt.model?.name === model?.name && receipt.seed === seed, "disclosed: another model or seed");
  if (!spec) return;
  require_(spec.request?.endpoint === call.endpoint, "disclosed: another endpoint");
  const commitment = await commit(unbase64(call.salt, 32), canonical(call.body));
  require_(commitment === spec.request.commitment, "disclosed: another body");
}
// Spec/verify 2.9: of an answer that was cut off, what the client was given.
async function requireGiven(given, output, acceptance, receipt) {
  require_(acceptance.outcome === "cut" && acceptance.delivered !== null, "delivered: nothing commits to it");
  if (given.text === null) return;
  const text = utf8.encode(given.text);
  require_(acceptance.delivered.bytes === text.length, "delivered: length");
  require_(acceptance.delivered.commitment === (await commit(unbase64(given.salt, 32), text)), "delivered: bytes");
  if (receipt === null || !output) return;
  for (const prefix of receipt.commitments.prefixes.filter(({ bytes }) => bytes <= text.length)) {
    const commitment = await commit(unbase64(output.salt, 32), text.slice(0, prefix.bytes));
    require_(prefix.commitment === commitment, "delivered: prefix");
  }
}

// The vectors.
const checks = { passed: 0, failed: [] };
async function holds(name, action) {
  try {
    await action();
    checks.passed++;
  } catch (error) {
    checks.failed.push(`${name}: ${error.message}`);
  }
}
async function refuses(name, action) {
  try {
    await action();
  } catch (error) {
    if (error instanceof Refused || error instanceof DOMException) return void checks.passed++;
    return void checks.failed.push(`${name}: ${error.stack}`);
  }
  checks.failed.push(`${name}: accepted`);
}
const expect = (valid) => (valid ? holds : refuses);

async function checkVectors(folder) {
  const load = (name) => JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8"));
  const json = load("json");
  for (const item of json.accepted)
    await holds(`json ${item.canonical}`, () =>
      require_(canonicalText(parseJson(unbase64(item.raw))) === item.canonical, "another canonical form"));
  for (const item of json.refused) await refuses(`json ${item.code}`, () => parseJson(unbase64(item.raw)));
  for (const item of load("numbers").numbers)
    await holds(`number ${item.text}`, () =>
      require_(canonicalText(Buffer.from(item.ieee754, "hex").readDoubleBE()) === item.text, "another text"));
  for (const item of load("ed25519").cases)
    await expect(item.valid)(`ed25519 ${item.why}`, () =>
      verifySignature(unhex(item.public_key), unhex(item.signature), unhex(item.message)));
  const encoding = load("encoding");
  for (const text of encoding.base64_refused) await refuses(`base64 ${text}`, () => unbase64(text));
  for (const item of encoding.times)
    await holds(`time ${item.text}`, () => require_(new Date(item.ms).toISOString() === item.text, "another text"));
  for (const item of encoding.key_ids)
    await holds(`key ${item.hive}`, async () => {
      const key = unbase64(item.public_key, 32);
      require_((await hiveId(key)) === item.hive && (await fingerprint(key)) === item.fingerprint, "another id");
    });
  for (const item of encoding.commitments)
    await holds("commitment", async () =>
      require_((await commit(unbase64(item.salt), unbase64(item.content))) === item.commitment, "another"));
  for (const item of encoding.cids)
    await holds("cid", async () => {
      const digest = await sha256(unbase64(item.content));
      const padded = concat([1, 0x55, 0x12, 0x20], digest, [0, 0, 0, 0]); // base32 rounds up to 58 characters
      require_(`b${base32(padded).slice(0, 58)}` === item.raw, "another CID");
    });
  const jobspec = load("jobspec");
  await holds("jobspec", async () =>
    require_((await verifyJobSpec(unbase64(jobspec.signed.raw))).specSha256 === jobspec.signed.spec_sha256, "digest"));
  for (const item of jobspec.refused.filter((each) => /^(signature|public_key)_/.test(each.code)))
    await refuses(`jobspec ${item.why}`, () => verifyJobSpec(unbase64(item.raw)));
  const dsse = load("dsse");
  for (const item of dsse.pae)
    await holds("pae", () => require_(same(pae(item.type, unbase64(item.payload)), unbase64(item.encoding)), "bytes"));
  const readRaw = (raw) => readEnvelope(parseCanonical(utf8.encode(raw)));
  await holds("envelope", async () => {
    const { payload, signature } = readRaw(dsse.envelope.raw);
    await verifySignature(unbase64(dsse.envelope.public_key), signature, pae("application/vnd.in-toto+json", payload));
  });
  for (const item of dsse.refused) await refuses(`envelope ${item.why}`, () => readRaw(item.raw));
  const notes = load("notes");
  for (const item of notes.notes)
    await expect(item.verified)(`note ${item.why}`, async () => {
      const { signers } = await verifyNote(item.note, await Promise.all(item.vkeys.map(parseVkey)));
      require_(signers.map((key) => key.name).join() === item.verified?.join(), "other signers");
    });
  for (const vkey of notes.vkeys) await holds(`vkey ${vkey}`, () => parseVkey(vkey));
  for (const raw of notes.malformed) await refuses("note", () => verifyNote(raw, []));
  for (const text of notes.checkpoints_malformed) await refuses("checkpoint", () => parseCheckpoint(text));
  const merkle = load("merkle");
  for (const item of merkle.inclusion)
    await expect(item.valid)(`inclusion ${item.index} of ${item.size}`, () =>
      verifyInclusion(unbase64(item.leaf), item.index, item.size, item.proof.map((p) => unbase64(p)), unbase64(item.root)));
  for (const item of merkle.consistency)
    await expect(item.valid)(`consistency ${item.first} ${item.second}`, () =>
      verifyConsistency(item.first, unbase64(item.first_root), item.second, unbase64(item.second_root), item.proof.map((p) => unbase64(p))));
  const policies = load("policy");
  const policy = await parsePolicy(policies.policy);
  for (const item of policies.quorum)
    await holds(`quorum ${item.cosigned_by}`, () =>
      require_(isSatisfied(policy, item.cosigned_by) === item.satisfied, "another answer"));
  await holds("policy in other spacing", () => parsePolicy(policies.same_in_other_spacing));
  for (const item of policies.refused) await refuses(`policy ${item.why}`, () => parsePolicy(item.policy));
  const proofs = load("proofs");
  for (const item of proofs.proofs) await holds("proof", () => parseProof(item.text));
  for (const item of proofs.malformed)
    await refuses(`proof ${item.why}`, () => parseProof(item.text));
  const bundles = load("bundles");
  const trusted = await parsePolicy(bundles.policy);
  const sets = new Map(await Promise.all(bundles.question_sets.map((text) => parseQuestionSet(utf8.encode(text)))));
  const verify = (item) => verifyBundle(utf8.encode(item.bundle), trusted, sets);
  for (const item of bundles.good) await holds(`bundle ${item.why}`, () => verify(item));
  for (const item of bundles.forged) await refuses(`bundle ${item.why}`, () => verify(item));
}

async function checkBundles(policyPath, paths) {
  const policy = await parsePolicy(readFileSync(policyPath, "utf8"));
  const sets = new Map();
  while (paths[0] === "--questions" && paths.length > 1)
    sets.set(...(await parseQuestionSet(readFileSync(paths.splice(0, 2)[1]))));
  const verdicts = [];
  for (const path of paths)
    await holds(path, async () => verdicts.push({ file: path, ...(await verifyBundle(readFileSync(path), policy, sets)) }));
  return verdicts;
}

const [mode, first, ...rest] = process.argv.slice(2);
let verdicts;
if (mode === "vectors" && first && rest.length === 0) await checkVectors(first);
else if (mode === "bundle" && rest.length > 0) verdicts = await checkBundles(first, rest);
else {
  console.error("usage: verify.mjs vectors FOLDER | verify.mjs bundle POLICY [--questions SET]… BUNDLE…");
  process.exit(2);
}
console.log(JSON.stringify({ ...checks, verdicts }));
process.exit(checks.failed.length === 0 && checks.passed > 0 ? 0 : 3);
