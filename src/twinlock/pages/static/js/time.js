// Moments come in UTC; a browser knows what that is where it stands.
const page = document.documentElement.lang;
const own = navigator.languages.find((tag) => tag.split("-")[0] === page) ?? page;
const format = new Intl.DateTimeFormat(own, { dateStyle: "medium", timeStyle: "short" });
for (const time of document.querySelectorAll("time[datetime]")) {
  time.title = time.textContent;
  time.textContent = format.format(new Date(time.dateTime));
}
