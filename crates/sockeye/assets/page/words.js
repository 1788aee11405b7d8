// Every word of the page, in each of its languages; {…} is filled in.

const LANGUAGES = ['en', 'zh'];
const WORDS = {
  details: ['Details', '详情'],
  wire: ['Wire', '线路'],
  wireHelp: ['What crosses the wire, live', '实时查看线路上的数据包'],
  tools: ['Messages: tools', '消息工具'],
  messages: ['Messages', '消息'],
  search: ['Search messages', '搜索消息'],
  view: ['Show messages as', '消息显示方式'],
  form: ['Write messages as', '输入方式'],
  text: ['Text', '文本'],
  hex: ['Hex', '十六进制'],
  encoding: ['Encoding, both ways', '编码（收发）'],
  save: ['Save', '保存'],
  saveTxt: ['Save as text', '保存为文本'],
  saveJsonl: ['Save as JSON lines', '保存为 JSON 行'],
  copy: ['Copy', '复制'],
  copyAll: ['Copy all', '全部复制'],
  copied: ['Copied', '已复制'],
  clear: ['Clear', '清空'],
  empty: ['No messages yet. What you send and what comes back appears here.', '还没有消息。发送和收到的内容显示在这里。'],
  total: ['{n} entries', '{n} 条记录'],
  found: ['{n} of {all}', '{n} / {all}'],
  dropped: ['{n} older entries were dropped: the newest 5,000 or 16 MiB are kept.',
    '已丢弃 {n} 条旧记录：只保留最新的 5,000 条或 16 MiB。'],
  newest: ['Newest ↓', '最新 ↓'],
  newestN: ['{n} new ↓', '{n} 条新消息 ↓'],
  more: ['Show all ({size})', '显示全部（{size}）'],
  moreOf: ['Show more (of {size})', '显示更多（共 {size}）'],
  less: ['Show less', '收起'],
  heard: ['{n} messages received', '收到 {n} 条消息'],
  input: ['Message to send', '要发送的消息'],
  hintText: ['Message: Enter sends, Shift+Enter begins a line', '消息：Enter 发送，Shift+Enter 换行'],
  hintHex: ['Hex, as in: 48 65 6c 6c 6f or 0x48,0x65', '十六进制，例如:48 65 6c 6c 6f 或 0x48,0x65'],
  send: ['Send', '发送'],
  eol: ['Line end', '行尾'],
  none: ['none', '无'],
  every: ['Every', '间隔'],
  repeat: ['Repeat', '重复发送'],
  stop: ['Stop', '停止'],
  file: ['Send file…', '发送文件…'],
  limit: ['up to {size}', '最大 {size}'],
  notHex: ['“{what}” at {place} is not a hex digit', '{place}的“{what}”不是十六进制数字'],
  oddHex: ['Odd number of hex digits at {place}: “{what}”', '{place}的十六进制位数是奇数：“{what}”'],
  noDigits: ['No hex digits after “{what}” at {place}', '{place}的“{what}”后面没有十六进制数字'],
  noChar: ['“{what}” at {place} does not exist in {encoding}', '{place}的“{what}”在 {encoding} 中不存在'],
  column: ['column {column}', '第 {column} 列'],
  lineColumn: ['line {line}, column {column}', '第 {line} 行第 {column} 列'],
  offline: ['Not connected: nothing was sent', '未连接：没有发送'],
  busy: ['The peer takes no more at the moment: repeating waits', '对方暂时无法接收：重复发送等待中'],
  tooLarge: ['{what} has {size}: at most {limit} can be sent', '{what} 有 {size}：最多可发送 {limit}'],
  unread: ['{what} cannot be read', '无法读取 {what}'],
  connect: ['Connect', '连接'],
  disconnect: ['Disconnect', '断开'],
  connecting: ['Connecting', '连接中'],
  open: ['Connected', '已连接'],
  closing: ['Closing', '关闭中'],
  closed: ['Disconnected', '已断开'],
  waiting: ['Reconnecting in {n} s', '{n} 秒后重连'],
  reconnect: ['Reconnect automatically', '自动重连'],
  over: ['Connect by', '连接方式'],
  wtBrowser: ['WebTransport needs a browser that has it, and a page over https or from localhost.',
    'WebTransport 需要支持它的浏览器，并且页面须通过 https 或 localhost 打开。'],
  wtServer: ['This address does not offer WebTransport.', '此地址不提供 WebTransport。'],
  fallen: ['WebTransport could not be used ({why}): WebSocket is used instead', '无法使用 WebTransport（{why}）：改用 WebSocket'],
  state: ['State', '状态'],
  url: ['URL', 'URL'],
  stack: ['Protocols', '协议'],
  subprotocol: ['Subprotocol', '子协议'],
  since: ['Since', '开始时间'],
  in: ['Received', '已接收'],
  out: ['Sent', '已发送'],
  traffic: ['{n} · {size}', '{n} 条 · {size}'],
  rate: ['Rate', '速率'],
  queued: ['Not yet sent', '待发送'],
  ending: ['Ended', '结束'],
  server: ['Server', '服务器'],
  service: ['Service', '服务'],
  local: ['Its address', '地址'],
  page: ['Page over', '页面协议'],
  peer: ['Your address', '你的地址'],
  tls: ['TLS', 'TLS'],
  ways: ['Other ways to this port', '访问此端口的其他方式'],
  display: ['Display', '显示'],
  language: ['Language', '语言'],
  theme: ['Theme', '主题'],
  auto: ['Auto', '自动'],
  light: ['Light', '浅色'],
  dark: ['Dark', '深色'],
  shortcuts: ['Shortcuts', '快捷键'],
  close: ['Close', '关闭'],
  keySend: ['send; begin a line', '发送；换行'],
  keyHistory: ['what was sent before', '发送历史'],
  keySearch: ['search', '搜索'],
  keyInput: ['write a message', '输入消息'],
  keyRows: ['from message to message, in the list', '在列表中逐条移动'],
  keyRow: ['copy, hex or text, show all: this message', '对该消息：复制、十六进制或文本、显示全部'],
  keyClear: ['clear the messages', '清空消息'],
  keyWire: ['what crosses the wire, where the server shows it', '查看线路（若服务器提供）'],
  keyLeave: ['leave what you are in', '离开当前位置'],
  keyHelp: ['this list', '显示此列表'],
  c1000: ['closed normally', '正常关闭'],
  c1001: ['the server is stopping', '服务器正在停止'],
  c1002: ['protocol error', '协议错误'],
  c1003: ['this kind of data is not accepted', '不接受此类数据'],
  c1005: ['closed without a code', '未带状态码关闭'],
  c1006: ['broken off without a goodbye', '连接异常中断'],
  c1007: ['text that was not valid UTF-8', '文本不是有效的 UTF-8'],
  c1008: ['refused by policy', '违反策略'],
  c1009: ['a message was too large', '消息过大'],
  c1011: ['the server failed', '服务器内部错误'],
  c1012: ['the server is restarting', '服务器正在重启'],
  c1013: ['the server is too busy, try later', '服务器繁忙，请稍后再试'],
  c0: ['Could not connect', '无法连接'],
  cOther: ['closed by the application', '由应用程序关闭'],
};

let language = 0;

/** Which of the languages the page speaks: `tag` such as `zh-CN`, or the first one. */
export function speak(tag) {
  language = Math.max(0, LANGUAGES.findIndex((known) => tag.startsWith(known)));
  document.documentElement.lang = ['en', 'zh-CN'][language];
  for (const element of document.querySelectorAll('[data-t]')) element.textContent = t(element.dataset.t);
  for (const element of document.querySelectorAll('[data-a]')) {
    element.ariaLabel = element.title = t(element.dataset.a);
  }
  return LANGUAGES[language];
}

/** Takes the words of a page that has more. */
export const learn = (words) => Object.assign(WORDS, words);

/** The word `key`, with `{name}` from `values`. */
export const t = (key, values = {}) =>
  WORDS[key][language].replace(/\{(\w+)\}/g, (_, name) => values[name]);

/** What a close code means. */
export const meaning = (code) => t(`c${code}` in WORDS ? `c${code}` : 'cOther');

/** `14:03:22.120`, here */
export const clock = (time) => new Date(time - new Date(time).getTimezoneOffset() * 60_000).toISOString().slice(11, 23);

export const count = (n) => n.toLocaleString('en');

/** `12.3 KiB` */
export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const power = Math.min(Math.floor(Math.log2(bytes) / 10), 4);
  return `${(bytes / 1024 ** power).toFixed(1)} ${['', 'KiB', 'MiB', 'GiB', 'TiB'][power]}`;
}
