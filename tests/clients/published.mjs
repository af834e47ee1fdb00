// Drives the published client against a server, and has its own schemas parse what that answers.
import { Analytics, Event, EventListing, ViewsListing } from '@threekit/rest-api';

const [baseURL, privateToken, orgId] = process.argv.slice(2);
const analytics = new Analytics({ host: 'shop.example', orgId, privateToken });
analytics.context.axios.defaults.baseURL = baseURL;

const sessionId = '7a0c1a52-6d7e-4a57-9f0e-5b8f4a1f2c11';
const assetId = '2b1de1a5-5a3b-4c38-8a0f-93b1d2f9a7c4';
const create = (props) => analytics.create({ sessionId, eventMetadata: {}, ...props });

const healthy = (await analytics.healthcheck()).data;
const created = [
  await create({ eventType: 'product session start' }),
  await create({ eventType: 'product cart-add', assetId, metric: 2, eventMetadata: { size: 200, colour: 'red' } }),
  await create({ eventType: 'product AR offered', device: 'a phone', configuration: { Legs: 'Oak' } })
].map((response) => Event.parse(response.data));

const listing = async (props) => EventListing.parse((await analytics.get(props)).data).events.map(({ id }) => id);
const refused = await analytics.get({ metadata: 'no object' });

console.log(
  JSON.stringify({
    healthy,
    created: created.map(({ id }) => id),
    byId: Event.parse((await analytics.getById(created[1].id)).data),
    page: EventListing.parse((await analytics.get({ page: 1, perPage: 2, sort: 'createdAt' })).data),
    all: await listing(),
    byMetadata: await listing({ metadata: { size: 200, colour: 'red' } }),
    byDevice: await listing({ device: 'a phone', orgId }),
    byReferer: await listing({ referer: '' }),
    views: ViewsListing.parse((await analytics.getViews({ range: 'month', eventType: 'product cart-add' })).data).views,
    missing: (await analytics.getById('01890000-0000-7000-8000-000000000000')).status,
    refused: [refused.status, refused.data.errors[0].loc],
    foreign: (await analytics.get({ orgId: assetId })).status
  })
);
