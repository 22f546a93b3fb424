/** Hand in tiles and scenes, and see how far they are. */
import { site, sites } from "../archive";
import { chosen, dismiss, jobs, sendChosen, type Upload, uploads } from "../uploads";
import { JobItem } from "./JobItem";

/** What such files are called does not say where their pixels lie. */
const PLACELESS = /\.(png|jpe?g|webp)$/i;

function take(files: FileList | null): void {
  chosen.value = [...(files ?? [])];
}

function Zone() {
  return (
    <label class="zone">
      <strong>Drop images anywhere on this page</strong>
      <span class="quiet">or choose them: GeoTIFF, PNG, JPEG, WebP, JPEG 2000</span>
      <input
        type="file"
        multiple
        class="unseen"
        onChange={(event) => {
          take(event.currentTarget.files);
          event.currentTarget.value = "";
        }}
      />
    </label>
  );
}

function submit(event: SubmitEvent): void {
  event.preventDefault();
  if (!(event.currentTarget instanceof HTMLFormElement)) return;
  const fields = [...new FormData(event.currentTarget)];
  void sendChosen(Object.fromEntries(fields.map(([name, value]) => [name, String(value).trim()])));
}

/** What the images themselves may not say. */
function Facts() {
  const names = chosen.value.map((file) => file.name).join(", ");
  const placeless = chosen.value.some((file) => PLACELESS.test(file.name));
  return (
    <form class="facts-form" onSubmit={submit}>
      <p class="files">{names}</p>
      <label>
        Site
        <input name="site" list="sites" value={site.value?.name ?? ""} />
      </label>
      <datalist id="sites">
        {sites.value.map((known) => (
          <option key={known.id} value={known.name} />
        ))}
      </datalist>
      <label>
        Date taken
        <input name="acquired" type="date" />
      </label>
      <label>
        Metres per pixel
        <input
          name="gsd_m"
          type="number"
          min="0.01"
          step="any"
          required={placeless}
          placeholder={placeless ? "" : "if not georeferenced"}
        />
      </label>
      <label>
        Sensor
        <input name="sensor" />
      </label>
      <div class="buttons">
        <button type="submit" class="main">
          Score
        </button>
        <button type="button" onClick={() => (chosen.value = [])}>
          Not now
        </button>
      </div>
    </form>
  );
}

function Sending({ upload }: { upload: Upload }) {
  return (
    <li class="job">
      <strong>{upload.file.name}</strong>
      {upload.error ? (
        <>
          <span class="bad">{upload.error}</span>
          <button type="button" class="plain" onClick={() => dismiss(upload)}>
            Dismiss
          </button>
        </>
      ) : (
        <>
          <span class="quiet">{`sending, ${Math.floor(upload.sent * 100)} %`}</span>
          <progress value={upload.sent} aria-label={`Sending ${upload.file.name}`} />
        </>
      )}
    </li>
  );
}

export function Add() {
  return (
    <>
      {chosen.value.length > 0 ? <Facts /> : <Zone />}
      <ul class="items" aria-label="Jobs">
        {uploads.value.map((upload) => (
          <Sending key={upload.file} upload={upload} />
        ))}
        {jobs.value.map((job) => (
          <JobItem key={job.id} job={job} />
        ))}
      </ul>
    </>
  );
}

export { take };
