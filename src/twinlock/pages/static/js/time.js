// Moments come in UTC; a browser knows what that is where it stands.
const page = document.documentElement.lang;
const own = navigator.languages.find((tag) => tag.split("-")[0] === page) ?? page;
const format = new Intl.DateTimeFormat(own, { dateStyle: "medium", timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat(own, { numeric: "auto" });
const midnight = (moment) => new Date(moment).setHours(0, 0, 0, 0);

// "today, 09:12", with what stands between a date and a time in this language.
function said(moment) {
  const days = Math.round((midnight(moment) - midnight(Date.now())) / 86_400_000);
  if (days !== 0 && days !== -1) return format.format(moment);
  const parts = format.formatToParts(moment);
  const time = parts.findIndex(({ type }) => type === "hour" || type === "dayPeriod");
  return relative.format(days, "day") + parts.slice(time - 1).map(({ value }) => value).join("");
}

const date = new Intl.DateTimeFormat(own, { dateStyle: "medium", timeZone: "UTC" });

for (const time of document.querySelectorAll("time[datetime]")) {
  if (!time.dateTime.includes("T")) {
    time.textContent = date.format(new Date(time.dateTime)); // a day alone is one everywhere
    continue;
  }
  time.title = time.textContent;
  time.textContent = said(new Date(time.dateTime));
}
